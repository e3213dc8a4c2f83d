"""One run: a contender is started, a client writes, the fault comes, everything settles, and what was acknowledged is looked for."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg

import measure
from contenders.common import query
from machine import CLIENT, STANDBY, WITNESS, WRITER, Failed, Loopback, Namespaces, World, undisturbed

FAULTS = ("kill", "partition")
# Seconds. Until writing has to be possible again; until the old writer has to be a standby again after a partition.
PATIENCE, SETTLING = 150.0, 150.0
# Seconds for which a partition lasts at least, and for which writing goes on after the new writer's first acknowledgement.
CUT_AT_LEAST, GOES_ON = 10.0, 5.0
# Rows of the client inside the writer's region have other numbers.
INSIDE = 1_000_000_000


class Writing:
    """A client at work, and what it remembers so far."""

    def __init__(self, world, name, place, first, servers):
        self._path = world.path / f"client-{name}.memory"
        self._attempts, self._read = [], 0
        program = Path(__file__).with_name("client.py")
        words = [*world.network.enter(place), sys.executable, "-B", str(program), str(first), str(self._path),
                 *(f"{region}={where}" for region, where in servers.items())]
        with open(world.path / f"client-{name}.log", "ab") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def attempts(self):
        if self._path.exists():
            with open(self._path, encoding="utf-8") as memory:
                memory.seek(self._read)
                text = memory.read()
            whole = text[:text.rfind("\n") + 1]
            self._read += len(whole.encode())
            self._attempts += [measure.Attempt(*json.loads(line)) for line in whole.splitlines()]
        if self._process.poll() not in (None, 0):
            raise Failed(f"a client has ended with {self._process.returncode}; see its log")
        return self._attempts

    def last(self, region=None):
        """When the last acknowledgement came (from this region)."""
        return max((a.ended for a in self.attempts() if a.acknowledged and region in (None, a.region)), default=0.0)

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise Failed("a client did not stop within 10 s") from error
        return self.attempts()

    def kill(self):
        self._process.kill()
        self._process.wait()


def play(contender, fault, say, keep_at):
    """One run's figures as a dictionary. What cannot be measured is a `Failed`; its logs are then in `keep_at`."""
    network = Namespaces() if fault == "partition" else Loopback()
    world, clients, well = None, [], False
    try:
        network.join()
        world = World(network)
        say("starting")
        began = time.monotonic()
        contender.start(world)
        started = time.monotonic()
        result = measured(world, contender, fault, say, clients)
        result |= {"starting_seconds": started - began, "measuring_seconds": time.monotonic() - started}
        # What was never writable again, or no standby, is worth a look, too.
        well = result["outage_seconds"] is not None and (fault == "kill" or result["settled_seconds"] is not None)
        return result
    finally:
        with undisturbed():
            say("clearing up")
            for client in clients:
                client.kill()
            try:
                if world:
                    world.close(None if well else keep_at)
            finally:
                network.close()


def measured(world, contender, fault, say, clients):
    servers = contender.servers(world)
    world.until("the writer takes a table", lambda: query(servers[WRITER], "CREATE TABLE rows (id bigint PRIMARY KEY)") == [])
    outside = Writing(world, "outside", CLIENT, 1, servers)
    clients.append(outside)
    if fault == "partition":
        # Cut off with the writer: what it is still told is acknowledged.
        clients.append(Writing(world, "inside", WRITER, INSIDE, {WRITER: servers[WRITER]}))
    for client in clients:
        world.until("a client's rows are acknowledged", lambda c=client: sum(a.acknowledged for a in c.attempts()) >= 100)
    # At a random moment of whatever the contender does in turns.
    say("writing")
    pause(2 + random.random() * contender.period)
    load = os.getloadavg()[0]

    say(fault)
    began = time.monotonic()
    if fault == "kill":
        world.kill(WRITER)
    else:
        world.network.cut(WRITER)
    done = time.monotonic()
    resumed, healed, settled = True, None, None
    try:
        world.until("rows are acknowledged by the other region", lambda: outside.last(STANDBY) > began, PATIENCE)
    except Failed:
        resumed = False
    if resumed:
        say("writing again")
        pause(GOES_ON)
    if fault == "partition":
        inside = clients[1]
        pause(began + CUT_AT_LEAST - time.monotonic())
        # The old writer may go on for a while; how long is part of the result.
        wait_until_quiet(inside)
        say("healed")
        healed = time.monotonic()
        world.network.heal()
        settled = settle(world, servers, outside, healed)
        pause(2)

    attempts = [list(client.stop()) for client in clients]
    say("looking for the rows")
    there = rows(world, servers)
    everything = [attempt for some in attempts for attempt in some]
    missing = [measure.lost(some, there) for some in attempts]
    second, seconds = measure.second_writer([a for a in everything if a.ended < (healed or done + 1e9)], WRITER, began)
    after = float("inf") if healed is None else healed
    return {
        "outage_seconds": measure.longest_gap(attempts[0], began, after) if resumed else None,
        "outage_after_healing_seconds": measure.longest_gap(attempts[0], healed, float("inf")) if resumed and healed else None,
        "injecting_seconds": done - began,
        "cut_seconds": None if healed is None else healed - done,
        "settled_seconds": settled,
        "acknowledged": sum(a.acknowledged for a in everything),
        "warned": sum(a.outcome == "warned" for a in everything),
        "lost": sum(map(len, missing)),
        "lost_inside": len(missing[1]) if len(missing) > 1 else 0,
        "lost_oldest_seconds": max((began - a.ended for some in missing for a in some), default=None),
        "lost_newest_seconds": min((began - a.ended for some in missing for a in some), default=None),
        "second_writer_rows": second,
        "second_writer_seconds": seconds,
        "load": load,
        "version": contender.version(world),
    }


def pause(seconds):
    time.sleep(max(0.0, seconds))


def wait_until_quiet(inside, quiet=3.0, patience=60.0):
    """Waits until the cut-off writer has acknowledged nothing for a while."""
    deadline = time.monotonic() + patience
    while time.monotonic() - inside.last() < quiet and time.monotonic() < deadline:
        time.sleep(0.1)


def settle(world, servers, outside, healed):
    """Seconds from the healing until one server takes writes and the other has them as its standby; None: not within `SETTLING`."""
    def met():
        writers = [region for region in servers if takes_writes(servers[region])]
        if len(writers) != 1 or outside.last(writers[0]) < healed:
            return False
        other = STANDBY if writers[0] == WRITER else WRITER
        newest = max(a.number for a in outside.attempts() if a.acknowledged)
        return (query(servers[other], "SELECT pg_is_in_recovery()")[0][0]
                and query(servers[other], f"SELECT count(*) FROM rows WHERE id = {newest}")[0][0] == 1)

    try:
        world.until("the old writer is a standby", met, SETTLING)
    except Failed:
        return None
    return time.monotonic() - healed


def takes_writes(where):
    try:
        return query(where, "SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::bool")[0][0]
    except Failed:
        return False


def rows(world, servers):
    """The rows that are there in the end: in the server that takes writes, or, where none does, in whichever answers."""
    def found():
        writers = [region for region in servers if takes_writes(servers[region])]
        return {row[0] for row in query(servers[writers[0]], "SELECT id FROM rows")} if len(writers) == 1 else None

    try:
        return world.until("exactly one server takes writes", found, patience=30)
    except Failed:
        there = set()
        for where in servers.values():
            try:
                there |= {row[0] for row in query(where, "SELECT id FROM rows")}
            except (Failed, psycopg.Error):
                continue
        return there
