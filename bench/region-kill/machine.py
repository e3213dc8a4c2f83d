"""The machine as three regions: their addresses and their processes.

Two kinds of network. `Loopback`: an address of 127.0.0.0/8 per region; needs no rights, and cannot be cut. `Namespaces`: a network
namespace per region and one for the client, joined by a router in a fifth, which can drop all that comes from or goes to a region;
needs root.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

REGIONS = ("stockholm", "frankfurt", "ireland")
WRITER, STANDBY, WITNESS = REGIONS
POSTGRES_PORT = 25432
CLIENT = "client"
CLONE_NEWNET = 0x40000000
# PostgreSQL refuses to run as root.
POSTGRES_USER = "postgres"


# What ends a benchmark early.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop(number, _frame):
    """Ends like Ctrl-C, so that everything is cleared up; an impatient second one does not keep that from being finished."""
    for signals in ENDING:
        signal.signal(signals, signal.SIG_IGN)
    raise KeyboardInterrupt(f"signal {number}")


def ends_in_order():
    """From here on whatever ends the benchmark early has it clear up first."""
    for number in ENDING:
        signal.signal(number, stop)


@contextlib.contextmanager
def undisturbed():
    """Clearing up is finished first; a signal that comes meanwhile is heard afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Failed(Exception):
    """A run that cannot be measured, and why."""


class Loopback:
    """Three addresses of a 127.N.0.0/16 that nobody uses now."""

    title = "loopback addresses"

    def __init__(self):
        self._network = 100 + secrets.randbelow(100)
        self._second = secrets.randbelow(250)

    def address(self, region):
        return f"127.{self._network}.{self._second}.{REGIONS.index(region) + 1}"

    def enter(self, _place):
        """The words before a command that runs in a region or as the client."""
        return []

    def join(self):
        """Puts this process where the client is."""

    def leave(self):
        """Undoes `join`."""

    def close(self):
        pass


class Namespaces:
    """Namespaces of our own; `cut` and `heal` are two policy rules of the router."""

    title = "network namespaces joined by a router"

    def __init__(self):
        self._prefix = f"lifeboat-bench-{os.getpid()}"
        self._made = []
        self._home = None
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self):
        for place in ("router", *REGIONS, CLIENT):
            ip("netns", "add", self._name(place))
            self._made.append(place)
            self._ip(place, "link", "set", "lo", "up")
        self._in("router", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for place in (*REGIONS, CLIENT):
            number, port = self._number(place), f"to-{place}"
            ip("link", "add", "uplink", "netns", self._name(place), "type", "veth", "peer", "name", port, "netns",
               self._name("router"))
            self._ip(place, "address", "add", f"10.213.{number}.2/24", "dev", "uplink")
            self._ip(place, "link", "set", "uplink", "up")
            self._ip(place, "route", "add", "default", "via", f"10.213.{number}.1")
            self._ip("router", "address", "add", f"10.213.{number}.1/24", "dev", port)
            self._ip("router", "link", "set", port, "up")

    @staticmethod
    def allowed():
        """Why namespaces cannot be made here; None: they can."""
        if os.geteuid() != 0:
            return "network namespaces need root"
        probe = f"lifeboat-bench-{os.getpid()}-probe"
        made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            return f"ip netns add: {made.stderr.strip()}"
        ip("netns", "del", probe)
        return None

    def _name(self, place):
        return f"{self._prefix}-{place}"

    @staticmethod
    def _number(place):
        return (*REGIONS, CLIENT).index(place) + 1

    def _ip(self, place, *words):
        ip("-n", self._name(place), *words)

    def _in(self, place, *words):
        checked([*self.enter(place), *words])

    def address(self, region):
        return f"10.213.{self._number(region)}.2"

    def enter(self, place):
        return ["nsenter", f"--net=/run/netns/{self._name(place)}", "--"]

    def cut(self, region):
        """From now on nothing goes to or comes from the region, and nobody is told so: silence, not a refusal."""
        self._ip("router", "rule", "add", "iif", f"to-{region}", "blackhole", "pref", "10")
        self._ip("router", "rule", "add", "to", f"10.213.{self._number(region)}.0/24", "blackhole", "pref", "11")

    def heal(self):
        for pref in ("10", "11"):
            self._ip("router", "rule", "del", "pref", pref)

    def join(self):
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self._name(CLIENT)}", os.O_RDONLY)
        setns(there)
        os.close(there)

    def leave(self):
        if self._home is not None:
            setns(self._home)
            os.close(self._home)
            self._home = None

    def close(self):
        self.leave()
        while self._made:
            subprocess.run(["ip", "netns", "del", self._name(self._made.pop())], capture_output=True, check=False)


def free_port():
    """One that nobody listens at now, at any address."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        return listener.getsockname()[1]


def setns(descriptor):
    """Moves this thread, and whatever it starts, into a network namespace (Python has `os.setns` from 3.12 on)."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")


def ip(*words):
    checked(["ip", *words])


def checked(words, **how):
    """Runs a command to its end; a failure shows the end of what it said."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **how)
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise Failed(f"{' '.join(map(str, words))} ended with {done.returncode}\n{said}")
    return done.stdout


class World:
    """One run: its directory, and the processes of its regions. Nothing of it remains after `close`."""

    def __init__(self, network):
        self.network = network
        # Short: the path of a Unix socket below it has room for about a hundred bytes.
        self.path = Path(tempfile.mkdtemp(prefix="lbb-"))
        # The servers' user may pass through.
        self.path.chmod(0o711)
        self._children = []
        self._memory = set()
        for region in REGIONS:
            directory = self.directory(region)
            directory.mkdir(mode=0o755)
            self.give(directory)

    def directory(self, region):
        return self.path / region

    def address(self, region):
        return self.network.address(region)

    @staticmethod
    def give(path):
        """Lets the servers' user own it."""
        if os.geteuid() == 0:
            shutil.chown(path, POSTGRES_USER, POSTGRES_USER)

    def words(self, region, command, as_root=False):
        """The command, where and as whom it is to run."""
        drop = []
        if os.geteuid() == 0 and not as_root:
            drop = ["setpriv", f"--reuid={POSTGRES_USER}", f"--regid={POSTGRES_USER}", "--clear-groups", "--"]
        return [*self.network.enter(region), *drop, *map(str, command)]

    def environment(self, region, **more):
        """A small one: nothing of whoever runs the benchmark."""
        directory = self.directory(region)
        keep = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {**keep, "LC_ALL": "C.UTF-8", "HOME": str(directory), "TMPDIR": str(directory), **more}

    def spawn(self, region, name, command, as_root=False, **environment):
        """Starts a process of a region; what it says is in `NAME.log` of its directory."""
        with open(self.path / f"{region}-{name}.log", "ab") as log:
            child = subprocess.Popen(
                self.words(region, command, as_root), cwd=self.directory(region), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.environment(region, **environment), start_new_session=True)
        self._children.append(child)
        return child

    def run(self, region, command, as_root=False, **environment):
        """Runs a command of a region to its end; what it wrote."""
        return checked(self.words(region, command, as_root), cwd=self.directory(region), stdin=subprocess.DEVNULL,
                       env=self.environment(region, **environment))

    def until(self, what, met, patience=60.0):
        """Waits until `met` gives something true, and gives that. An error that says why not yet is remembered for the report."""
        deadline, last = time.monotonic() + patience, ""
        while True:
            try:
                found = met()
            except (OSError, ValueError, KeyError, Failed) as error:
                found, last = None, f" (last: {type(error).__name__}: {error})"
            if found:
                return found
            if time.monotonic() > deadline:
                raise Failed(f"not within {patience:.0f} s: {what}{last}")
            time.sleep(0.05)

    def kill(self, region):
        """SIGKILL for everything of a region: first all of it is stopped, so that nothing sees another part of it go."""
        self._end(self.directory(region))

    def close(self, keep_at=None):
        """Ends everything. `keep_at`: where the logs go before the directory is removed."""
        self._end(self.path)
        for child in self._children:
            child.wait()
        if keep_at:
            keep_at.mkdir(parents=True, exist_ok=True)
            for log in [*self.path.glob("*.log"), *self.path.glob("*.json"), *self.path.glob("*/*/log/*")]:
                shutil.copy(log, keep_at / "-".join(log.relative_to(self.path).parts))
        for kind, which in self._memory:
            if kind == "file":
                Path(which).unlink(missing_ok=True)
            else:
                subprocess.run(["ipcrm", "-m", which], capture_output=True, check=False)
        shutil.rmtree(self.path, ignore_errors=True)

    def _end(self, directory):
        frozen = set()
        while fresh := processes_of(directory) - frozen:
            for process in fresh:
                send(process, signal.SIGSTOP)
            frozen |= fresh
        for process in frozen:
            self._memory |= shared_memory(process)
        for process in frozen:
            send(process, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while processes_of(directory) and time.monotonic() < deadline:
            for child in self._children:
                child.poll()
            time.sleep(0.002)


def processes_of(directory):
    """Numbers of the live processes that work in a directory or were started with it, and of their descendants.

    PostgreSQL overwrites its environment and works in its data directory; other programs are the other way round."""
    marker = f"{directory}/".encode()
    ours, parents, found = os.getpid(), {}, set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == ours:
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                state, parent = stat.read().rpartition(b")")[2].split()[:2]
            if state in b"ZX":
                continue
            parents[int(entry)] = int(parent)
            if f"{os.readlink(f'/proc/{entry}/cwd')}/".startswith(marker.decode()):
                found.add(int(entry))
                continue
            for file in ("cmdline", "environ"):
                with open(f"/proc/{entry}/{file}", "rb") as text:
                    if marker in text.read():
                        found.add(int(entry))
        except OSError:
            continue  # It has just ended, or is somebody else's.
    grown = True
    while grown:
        children = {child for child, parent in parents.items() if parent in found} - found - {ours}
        found |= children
        grown = bool(children)
    return found


def send(process, number):
    """That it has just ended is no error."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass


def shared_memory(process):
    """What a killed PostgreSQL leaves behind: files below /dev/shm and System V segments, whose number is the inode."""
    found = set()
    try:
        with open(f"/proc/{process}/maps", encoding="utf-8", errors="replace") as maps:
            for line in maps:
                fields = line.split()
                if len(fields) > 5 and fields[5].startswith("/dev/shm/PostgreSQL."):
                    found.add(("file", fields[5]))
                elif len(fields) > 5 and fields[5].startswith("/SYSV"):
                    found.add(("segment", fields[4]))
    except OSError:
        pass
    return found
