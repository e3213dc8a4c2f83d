"""What the commit gate costs an asynchronous database: pgbench on a pair of servers behind the gate, and on the same pair without.

Both pairs run all the time, Lifeboat's nodes included, and are measured in turns: with and without, then without and with. The pair
without has the configuration file that Lifeboat wrote, but for `synchronous_standby_names`; both have an asynchronous standby. A third
measurement shows how much of it is waiting: behind the gate, by sessions with `synchronous_commit = local`, which do not wait for it.
"""

import argparse
import datetime
import json
import os
import re
import sys
from pathlib import Path

from contenders import CONTENDERS
from contenders.common import DATABASE, query
from contenders.patroni import postgres_programs
from machine import POSTGRES_PORT, STANDBY, WRITER, Failed, Loopback, World, checked, ends_in_order, undisturbed
from measure import spread
from table import machine, postgres_version

PROJECT = Path(__file__).resolve().parent.parent.parent
APPLICATION_NAME = "plain_standby"


class Plain:
    """Two servers without Lifeboat, with the settings that Lifeboat's have."""

    def __init__(self, world):
        self._world, self._network = world, Loopback()
        lifeboats = world.directory(WRITER) / DATABASE / "conf"
        self._settings = (lifeboats / "postgresql.conf").read_text(encoding="utf-8")

    def start(self):
        primary = self._directory(WRITER)
        self._program("initdb", "--pgdata", primary / "data", "--encoding", "UTF8", "--locale", "C.UTF-8", "--auth", "trust")
        self._serve(WRITER)
        at = self.where(WRITER)
        self._world.until("the server without the gate answers", lambda: query(self._at("postgres"), "SELECT 1"))
        query(self._at("postgres"), f"CREATE DATABASE {DATABASE}")
        self._program("pg_basebackup", "--pgdata", self._directory(STANDBY) / "data", "--checkpoint", "fast", "--write-recovery-conf",
                      "--dbname", f"host={self._network.address(WRITER)} port={POSTGRES_PORT} user=postgres application_name={APPLICATION_NAME}")
        self._serve(STANDBY)
        self._world.until("its standby streams", lambda: query(
            self._at("postgres"), "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"))
        return at

    def _at(self, database):
        return f"host={self._network.address(WRITER)} port={POSTGRES_PORT} user=postgres dbname={database}"

    def where(self, region):
        return {"PGHOST": self._network.address(region), "PGPORT": str(POSTGRES_PORT), "PGUSER": "postgres", "PGDATABASE": DATABASE}

    def _directory(self, region):
        path = self._world.path / f"plain-{region}"
        if not path.exists():
            path.mkdir(mode=0o700)
            self._world.give(path)
        return path

    def _program(self, name, *words):
        # By the file's directory, these processes belong to the world and end with it.
        self._world.run(WRITER, [postgres_programs() / name, *words])

    def _serve(self, region):
        directory = self._directory(region)
        (directory / "pg_hba.conf").write_text("host all all 127.0.0.0/8 trust\nhost replication all 127.0.0.0/8 trust\n", encoding="utf-8")
        ours = {"synchronous_standby_names": "", "listen_addresses": self._network.address(region),
                "unix_socket_directories": str(directory), "hba_file": str(directory / "pg_hba.conf")}
        # The last line for a name counts.
        text = self._settings + "".join(f"{name} = '{value}'\n" for name, value in ours.items())
        path = directory / "postgresql.conf"
        path.write_text(text, encoding="utf-8")
        for file in (path, directory / "pg_hba.conf"):
            self._world.give(file)
        self._world.spawn(WRITER, f"plain-{region}", [
            postgres_programs() / "postgres", "-D", directory / "data", "-c", f"config_file={path}"])


def pgbench(where, seconds, clients, threads, **more):
    """Transactions per second and their mean latency in milliseconds."""
    said = run_pgbench(where, ["--no-vacuum", "--client", clients, "--jobs", threads, "--time", seconds, "--protocol", "prepared"], more)
    if "number of failed transactions: 0 (" not in said:
        raise Failed(f"pgbench had failed transactions:\n{said}")
    tps = re.search(r"^tps = ([0-9.]+) \(without initial", said, re.MULTILINE)
    latency = re.search(r"^latency average = ([0-9.]+) ms", said, re.MULTILINE)
    return {"tps": float(tps.group(1)), "latency_ms": float(latency.group(1))}


def run_pgbench(where, words, more):
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", **where, **more}
    return checked([postgres_programs() / "pgbench", *map(str, words)], env=environment)


def measure(arguments, world, say):
    lifeboat = CONTENDERS["lifeboat-sqlite-async"]
    if why := lifeboat.missing():
        raise Failed(why)
    say("starting")
    lifeboat.start(world)
    words = dict(word.split("=", 1) for word in lifeboat.servers(world)[WRITER].split())
    gate = {"PGHOST": words["host"], "PGPORT": words["port"], "PGUSER": words["user"], "PGDATABASE": words["dbname"],
            "PGPASSWORD": words["password"].strip("'")}
    plain = Plain(world).start()
    names = query(lifeboat.servers(world)[WRITER], "SHOW synchronous_standby_names")[0][0]
    if "gate" not in names:
        raise Failed(f"the commit gate is not what confirms: synchronous_standby_names is {names}")
    for where in (gate, plain):
        run_pgbench(where, ["--initialize", "--quiet", "--scale", arguments.scale], {})
    ways = {"gate": lambda seconds: pgbench(gate, seconds, arguments.clients, arguments.threads),
            "local": lambda seconds: pgbench(gate, seconds, arguments.clients, arguments.threads, PGOPTIONS="-c synchronous_commit=local"),
            "plain": lambda seconds: pgbench(plain, seconds, arguments.clients, arguments.threads)}
    for way in ways.values():
        way(3)
    pairs = []
    for number in range(arguments.pairs):
        order = list(ways) if number % 2 == 0 else list(reversed(ways))
        pair = {"load": os.getloadavg()[0]}
        for name in order:
            say(f"pair {number + 1}/{arguments.pairs}: {name}")
            pair[name] = ways[name](arguments.seconds)
        pairs.append(pair)
        print(f"pair {number + 1:2}/{arguments.pairs}   with {pair['gate']['tps']:7.0f}   without {pair['plain']['tps']:7.0f}"
              f"   ratio {pair['gate']['tps'] / pair['plain']['tps']:.3f}   load {pair['load']:.1f}", file=sys.stderr, flush=True)
    return {"at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "pairs": pairs}


def markdown(results, arguments):
    pairs = results["pairs"]
    tps = {name: spread([pair[name]["tps"] for pair in pairs]) for name in ("gate", "plain", "local")}
    latency = {name: spread([pair[name]["latency_ms"] for pair in pairs]) for name in tps}
    ratio = {name: spread([pair["gate"]["tps"] / pair[name]["tps"] for pair in pairs]) for name in ("plain", "local")}
    title = {"gate": "behind the commit gate", "plain": "without it",
             "local": "behind it, sessions with `synchronous_commit = local`"}
    lines = [
        "# What the commit gate costs", "",
        "<!-- Written by bench/commit-gate. `make bench` measures anew. -->", "",
        "An asynchronous database's commits wait for the region's own node. The same servers with and without, in turns; median (least to",
        f"greatest) of {len(pairs)} pairs of pgbench `-c {arguments.clients} -j {arguments.threads} -T {arguments.seconds} -M prepared -s {arguments.scale}`.", "",
        "| | transactions/s | mean latency, ms | throughput with the gate, of this |", "|---|---|---|---|",
    ]
    for name, words in title.items():
        shown = "" if name == "gate" else "{:.3f} ({:.3f} to {:.3f})".format(*ratio[name])
        lines.append(f"| {words} | {{:.0f}} ({{:.0f}} to {{:.0f}}) | {{:.2f}} ({{:.2f}} to {{:.2f}}) | {shown} |".format(*tps[name], *latency[name]))
    loads = [pair["load"] for pair in pairs]
    lines += ["", "The aim is 0.9 or more. Both pairs have an asynchronous standby and the settings that Lifeboat writes, `fsync` included; the nodes",
              "run all the time, and so does the other pair.", "",
              f"Machine: {machine()}. {postgres_version()}. {results['at'][:10]}; load average {min(loads):.1f} to {max(loads):.1f}.", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="bench/commit-gate/run", description=__doc__)
    parser.add_argument("--pairs", type=int, default=10, help="[default: %(default)s]")
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement [default: %(default)s]")
    parser.add_argument("--clients", type=int, default=8, help="[default: %(default)s]")
    parser.add_argument("--threads", type=int, default=2, help="of pgbench [default: %(default)s]")
    parser.add_argument("--scale", type=int, default=10, help="of pgbench's tables [default: %(default)s]")
    parser.add_argument("--results", type=Path, default=PROJECT / "bench" / "results" / "commit-gate.json")
    parser.add_argument("--table", type=Path, help="write the table there too [default: only print it]")
    arguments = parser.parse_args()
    ends_in_order()

    def say(what):
        if sys.stderr.isatty():
            print(f"\r\033[K{what} …\r", end="", file=sys.stderr, flush=True)

    world = World(Loopback())
    try:
        results = measure(arguments, world, say)
    except Failed as error:
        sys.exit(f"bench/commit-gate: {error}")
    finally:
        with undisturbed():
            say("clearing up")
            world.close()
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = markdown(results, arguments)
    print(text)
    if arguments.table:
        arguments.table.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nbench/commit-gate: stopped; everything that it started has been ended")
