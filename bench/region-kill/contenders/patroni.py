"""Patroni: a member in each of two regions, etcd in three."""

import json
import shutil
import sys
from pathlib import Path

from machine import POSTGRES_PORT, STANDBY, WITNESS, WRITER, checked

from .common import APPLICATION, DATABASE, HBA, POSTGRES, Etcd, ask, conninfo, make_database

# Patroni refuses a ttl below 20, a loop_wait below 1 and a retry_timeout below 3.
TIMING = {
    "default": {"ttl": 30, "loop_wait": 10, "retry_timeout": 10},
    "fast": {"ttl": 20, "loop_wait": 1, "retry_timeout": 3},
}
SUPERUSER, REPLICATION = "postgres", "replicator"


class Patroni:
    def __init__(self, speed, synchronous, leader=WITNESS):
        self.name = f"patroni-{speed}-{'sync' if synchronous else 'async'}"
        self.title = f"Patroni, {'defaults' if speed == 'default' else 'fastest'}, " + (
            "synchronous" if synchronous else "asynchronous")
        if leader == WRITER:
            self.name += "-leader"
            self.title += ", etcd's leader lost too"
        self.excepted = {}
        self._timing, self._synchronous, self._leader = TIMING[speed], synchronous, leader
        self.period = float(self._timing["loop_wait"])
        self.settings = (", ".join(f"`{key}: {value}`" for key, value in self._timing.items())
                         + f", `synchronous_mode: {str(synchronous).lower()}`, `use_pg_rewind: true`; {Etcd.title(leader)}")

    @staticmethod
    def program():
        return Path(sys.executable).parent / "patroni"

    def missing(self):
        if not self.program().exists() or not shutil.which("etcd"):
            return "Patroni or etcd is not installed; run tools/install bench"
        return None

    def version(self, _world):
        return checked([self.program(), "--version"]).strip()

    def start(self, world):
        self._etcd = Etcd(world)
        self._etcd.start()
        self._member(world, WRITER)
        world.until(f"{WRITER} leads", lambda: self._roles(world).get(WRITER) == "leader")
        self._member(world, STANDBY)
        role = "sync_standby" if self._synchronous else "replica"
        # Two loops or more pass until a standby counts as synchronous.
        world.until("the standby streams", lambda: self._roles(world).get(STANDBY) == role, patience=120)
        make_database(conninfo(world, WRITER, SUPERUSER, "of-the-benchmark", "postgres"))
        self._etcd.lead_from(self._leader)

    def _member(self, world, region):
        directory, address = world.directory(region), world.address(region)
        accounts = {"superuser": SUPERUSER, "replication": REPLICATION, "rewind": SUPERUSER}
        configuration = {
            "scope": "bench", "name": region,
            "restapi": {"listen": f"{address}:8008", "connect_address": f"{address}:8008"},
            "etcd3": {"hosts": [url.removeprefix("http://") for url in self._etcd.urls()]},
            "bootstrap": {
                "dcs": {**self._timing, "synchronous_mode": self._synchronous,
                        "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": POSTGRES}},
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
            },
            "postgresql": {
                "listen": f"{address}:{POSTGRES_PORT}", "connect_address": f"{address}:{POSTGRES_PORT}",
                "data_dir": str(directory / "data"), "bin_dir": str(postgres_programs()),
                "pgpass": str(directory / "pgpass"),
                "authentication": {use: {"username": name, "password": "of-the-benchmark"} for use, name in accounts.items()},
                "parameters": {"unix_socket_directories": str(directory)},
                "pg_hba": ["local all all trust", HBA, "host all postgres 0.0.0.0/0 scram-sha-256",
                           f"host replication {REPLICATION} 0.0.0.0/0 scram-sha-256"],
            },
        }
        path = world.path / f"{region}-patroni.json"
        path.write_text(json.dumps(configuration), encoding="utf-8")  # JSON is YAML
        world.give(path)
        world.spawn(region, "patroni", [self.program(), path])

    def _roles(self, world):
        members = ask(f"http://{world.address(WRITER)}:8008/cluster")["members"]
        return {member["name"]: member["role"] for member in members if member["state"] in ("running", "streaming")}

    def servers(self, world):
        return {region: conninfo(world, region, APPLICATION, database=DATABASE) for region in (WRITER, STANDBY)}


def postgres_programs():
    """The newest PostgreSQL's, where Debian puts them."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
