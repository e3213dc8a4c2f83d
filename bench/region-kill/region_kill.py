"""The command line of the benchmark: which contenders, which faults, how often; progress, results, and the table."""

import argparse
import datetime
import json
import os
import random
import sys
import tempfile
from pathlib import Path

import table
from contenders import CONTENDERS
from machine import Failed, Namespaces, ends_in_order
from scene import FAULTS, play

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent


class Progress:
    """One line per run; on a terminal also what is being done right now."""

    def __init__(self, head):
        self._head, self._live = head, sys.stderr.isatty()

    def say(self, what):
        if self._live:
            print(f"\r\033[K{self._head}{what} …", end="", file=sys.stderr, flush=True)

    def end(self, what):
        print("\r\033[K" if self._live else "", end="", file=sys.stderr)
        print(f"{self._head}{what}", file=sys.stderr, flush=True)


def told(result):
    """A result in one line."""
    outage = result["outage_seconds"]
    text = "never writable again" if outage is None else f"outage {outage:6.2f} s"
    text += f"   lost {result['lost']} of {result['acknowledged']}"
    if result["lost_inside"]:
        text += f" ({result['lost_inside']} acknowledged to the client inside the region)"
    if result["second_writer_rows"]:
        text += f"   TWO WRITERS for {result['second_writer_seconds']:.1f} s, {result['second_writer_rows']} rows"
    if result["cut_seconds"] is not None:
        settled = result["settled_seconds"]
        text += "   the old writer is no standby yet" if settled is None else f"   standby again {settled:.1f} s after healing"
    return f"{text}   load {result['load']:.1f}"


def chosen(arguments):
    names = arguments.only.split(",") if arguments.only else list(CONTENDERS)
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown:
        sys.exit(f"bench/region-kill: there is no contender {', '.join(unknown)}; there are: {', '.join(CONTENDERS)}")
    return [CONTENDERS[name] for name in names]


def skipped(contender, fault, no_cut):
    """Why this is not run here; None: it is."""
    return contender.excepted.get(fault) or contender.missing() or (no_cut if fault == "partition" else None)


def main():
    parser = argparse.ArgumentParser(prog="bench/region-kill/run", description=__doc__)
    parser.add_argument("--only", metavar="NAME,…", help=f"these contenders: {', '.join(CONTENDERS)}")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="this fault [default: both]")
    parser.add_argument("--runs", type=int, default=int(os.environ.get("RUNS", "5")), help="of each [default: $RUNS or 5]")
    parser.add_argument("--results", type=Path, default=PROJECT / "bench" / "results" / "region-kill.json",
                        help="where the raw results go [default: %(default)s]")
    parser.add_argument("--add", action="store_true", help="keep what the results hold, and add to it")
    parser.add_argument("--note", action="append", default=[], help="something that readers of the table have to know of these runs")
    parser.add_argument("--table", type=Path, help="write the table there too [default: only print it]")
    parser.add_argument("--renew", type=Path, help="put the table between the markers of this page, too")
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()) / "lifeboat-bench-logs",
                        help="where the logs of runs that failed go [default: %(default)s]")
    arguments = parser.parse_args()
    contenders, faults = chosen(arguments), arguments.fault or FAULTS
    ends_in_order()

    no_cut = Namespaces.allowed() if "partition" in faults else None
    results = {"runs": [], "skipped": {}}
    if arguments.add and arguments.results.exists():
        results = json.loads(arguments.results.read_text(encoding="utf-8"))
    results["notes"] = [*results.get("notes", []), *arguments.note]
    # Round by round, so that a change of the machine's load meets everybody; in another order each time.
    for number in range(1, arguments.runs + 1):
        jobs = [(contender, fault) for contender in contenders for fault in faults]
        random.shuffle(jobs)
        for contender, fault in jobs:
            key = f"{contender.name} {fault}"
            progress = Progress(f"{contender.name:24} {fault:9} {number}/{arguments.runs}  ")
            if why := skipped(contender, fault, no_cut):
                if number == 1:
                    progress.end(f"skipped: {why}")
                results["skipped"][key] = why
                continue
            results["skipped"].pop(key, None)
            run = {"contender": contender.name, "fault": fault,
                   "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
            keep_at = arguments.logs / f"{contender.name}-{fault}-{run['at'].replace(':', '')}"
            try:
                result = play(contender, fault, progress.say, keep_at)
                progress.end(told(result))
            except (Failed, OSError) as error:
                result = {"error": str(error)}
                progress.end(f"FAILED, logs in {keep_at}: {error}")
            results["runs"].append({**run, **result})
            arguments.results.parent.mkdir(parents=True, exist_ok=True)
            arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = table.markdown(results, CONTENDERS)
    print(text)
    if arguments.table:
        arguments.table.write_text(text, encoding="utf-8")
    if arguments.renew:
        page = table.renewed(arguments.renew.read_text(encoding="utf-8"), results, CONTENDERS)
        arguments.renew.write_text(page, encoding="utf-8")
    return 1 if any("error" in run for run in results["runs"]) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nbench/region-kill: stopped; everything that it started has been ended")
