"""Lifeboat: a node in each region, defaults throughout."""

import json
import os
import shutil
from pathlib import Path

from machine import POSTGRES_PORT, REGIONS, STANDBY, WITNESS, WRITER, Failed

from .common import APPLICATION, DATABASE, Etcd, conninfo

FILE = """\
app: bench
objectives: {{rto: 15s, rpo: {rpo}}}
regions:
  stockholm: {{place: local/a, address: {stockholm}}}
  frankfurt: {{place: local/b, address: {frankfurt}}}
  ireland: {{place: local/c, address: {ireland}, role: witness}}
components:
  {database}:
    kind: postgres
    pattern: warm-standby
    writer: stockholm
    standbys: {{frankfurt: {how}}}
    port: {port}
failover: {{mode: automatic, hold-down: 60s}}
nodes: {{tls: certs}}
store: {store}
"""


class Lifeboat:
    # Seconds within which the fault comes at a random moment: longer than anything that it does in turns.
    period = 1.0

    def __init__(self, store, synchronous, leader=WITNESS):
        self.name = f"lifeboat-{store}-{'sync' if synchronous else 'async'}"
        self.title = f"Lifeboat, {'SQLite' if store == 'sqlite' else 'etcd'}, {'synchronous' if synchronous else 'asynchronous'}"
        if leader == WRITER:
            self.name += "-leader"
            self.title += ", etcd's leader lost too"
        # Faults that say nothing about this contender, and why.
        self.excepted = {} if store == "etcd" else {"partition": "the store is a file that no cut separates"}
        self._store, self._synchronous, self._leader = store, synchronous, leader
        self.settings = "defaults (`detection: {every: 200ms, timeout: 400ms, lease: 3s}`); " + (
            "`standbys: {frankfurt: synchronous}`, `rpo: 0s`" if synchronous else
            "`standbys: {frankfurt: asynchronous}`, `rpo: 5s`")
        self.settings += "; " + (Etcd.title(leader) if store == "etcd" else
                                 "`store: lifeboat.db`, a file of this machine")

    @staticmethod
    def binary():
        """Where the release build is."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        target = Path(os.environ.get("CARGO_TARGET_DIR") or cache / "lifeboat" / "target")
        return Path(os.environ.get("LIFEBOAT") or target / "release" / "lifeboat")

    def missing(self):
        """Why this contender cannot run here; None: it can."""
        binary = self.binary()
        if not binary.exists():
            return f"{binary} is not there; build it with `cargo build --release -p lifeboat`"
        if self._store == "etcd" and not shutil.which("etcd"):
            return "etcd is not installed; run tools/install bench"
        return None

    def version(self, world):
        return world.run(WRITER, [self.binary(), "--version"], as_root=True).strip()

    def start(self, world):
        etcd = Etcd(world) if self._store == "etcd" else None
        store = "lifeboat.db"
        if etcd:
            etcd.start()
            store = json.dumps({"etcd": etcd.urls()})
        self._file = world.path / "lifeboat.yaml"
        self._file.write_text(FILE.format(
            **{region: world.address(region) for region in REGIONS}, rpo="0s" if self._synchronous else "5s",
            database=DATABASE, how="synchronous" if self._synchronous else "asynchronous", port=POSTGRES_PORT, store=store),
            encoding="utf-8")
        world.run(WRITER, [self.binary(), "certs", self._file], as_root=True)
        for region in REGIONS:
            world.spawn(region, "node", [self.binary(), "node", "--region", region, "--directory", world.path, self._file],
                        as_root=True, LIFEBOAT_DRILL_PID=str(os.getpid()))
        world.until("the database is open and its standby streams", lambda: self._ready(world))
        if etcd:
            etcd.lead_from(self._leader)
            world.until("all is well after that", lambda: self._ready(world))

    def _ready(self, world):
        status = json.loads(world.run(
            WRITER, [self.binary(), "status", self._file, "--directory", world.path, "--region", WRITER, "--json"],
            as_root=True))
        database = status["databases"][DATABASE]
        return (database["open"] and database["writer"] == WRITER and database["servers"][STANDBY]["streaming"]
                and database["readiness"][STANDBY]["ready"]
                and (not self._synchronous or STANDBY in database["holders"]))

    def servers(self, world):
        path = world.path / "secrets" / DATABASE / "secrets.json"
        try:
            password = json.loads(path.read_text(encoding="utf-8"))["application"]
        except OSError as error:
            raise Failed(f"the application's password: {error}") from error
        return {region: conninfo(world, region, APPLICATION, password) for region in (WRITER, STANDBY)}
