"""The results as a page of Markdown. Pure but for the description of the machine."""

import os
import platform
import re
import subprocess
from pathlib import Path

from contenders.common import POSTGRES
from measure import spread
from scene import FAULTS


def markdown(results, contenders):
    """The page: what was done, the table, who ran with which settings, on what."""
    runs = results["runs"]
    dates = sorted(run["at"][:10] for run in runs) or ["never"]
    loads = [run["load"] for run in runs if "load" in run]
    lines = [
        "# Losing a region: Lifeboat beside its peers",
        "",
        "<!-- Written by bench/region-kill. `make bench` measures anew. -->",
        "",
        "Three regions on one machine; the writer's is lost while a client inserts rows one after the other. **kill**: SIGKILL of",
        "everything in the region at one moment; its address still refuses connections. **partition**: the region is cut off in silence, both",
        "sides alive, and healed later.",
        "*Outage*: the longest time between two acknowledged rows, in seconds, median (least to greatest). *Lost*: acknowledged rows that are",
        "missing in the end, compared row by row; during a partition a second client writes inside the cut-off region. *Two writers*: the old",
        "writer acknowledged rows that were sent after the new one had acknowledged its first.",
        "",
        *comparison(results, contenders),
    ]
    notes = [f"- {note}" for note in results.get("notes", [])]
    lines += ["", *notes, *remarks(runs, contenders), "", "## Settings", ""]
    lines += ["| | version | settings |", "|---|---|---|"]
    for name, contender in contenders.items():
        versions = sorted({run["version"] for run in runs if run["contender"] == name and "version" in run})
        if versions:
            lines.append(f"| {contender.title} | {', '.join(versions)} | {contender.settings} |")
    settings = ", ".join(f"`{name} = {value}`" for name, value in POSTGRES.items())
    lines += [
        "",
        f"PostgreSQL everywhere: {settings}; the rest is default, `fsync` included. Everybody's application comes in by password (SCRAM).",
        "The client asks both servers in turn whether they take writes (0.5 s at most for each), pauses for 5 ms after each row, and gives an",
        "insert up after 1 s; a commit with the warning of a cancelled wait is not counted as acknowledged.",
        "",
        f"Machine: {machine()}. {postgres_version()}. {dates[0]}" + (f" to {dates[-1]}" if dates[-1] != dates[0] else "")
        + (f"; load average before the faults {min(loads):.1f} to {max(loads):.1f}." if loads else "."),
        "",
    ]
    return "\n".join(lines)


def comparison(results, contenders):
    """The table itself, line by line."""
    runs = results["runs"]
    lines = [
        "| | kill: outage | lost | partition: outage | lost | two writers | runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, contender in contenders.items():
        of = {fault: [run for run in runs if run["contender"] == name and run["fault"] == fault] for fault in FAULTS}
        why = {fault: results["skipped"].get(f"{name} {fault}") for fault in FAULTS}
        if not any(of.values()) and not any(why.values()):
            continue
        cells = [cell for fault in FAULTS for cell in fault_cells(of[fault], why[fault])]
        number = " + ".join(str(len(of[fault])) for fault in FAULTS)
        lines.append(f"| {contender.title} | {' | '.join(cells)} | {two_writers(of['partition'])} | {number} |")
    return lines


def renewed(page, results, contenders):
    """A page with the table in place of the one between two markers; `ValueError` where it has none."""
    begin, end = "<!-- bench/region-kill -->\n", "<!-- /bench/region-kill -->"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return before + begin + "\n".join(comparison(results, contenders)) + "\n" + end + after


def fault_cells(runs, why):
    if not runs:
        return [f"not run: {why}" if why else "–", "–"]
    measured = [run for run in runs if "error" not in run]
    outages = spread([run["outage_seconds"] for run in measured])
    text = "–" if outages is None else "{:.2f} ({:.2f} to {:.2f})".format(*outages)
    never = sum(run["outage_seconds"] is None for run in measured)
    if never:
        text += f"; never again in {never} of {len(measured)}"
    if len(measured) < len(runs):
        text += f"; {len(runs) - len(measured)} not measured"
    return [text, lost(measured)]


def lost(measured):
    """How many rows, and how long a stretch of writes that was at most."""
    losses = [run["lost"] for run in measured]
    if not any(losses):
        return "0" if losses else "–"
    longest = max(run["lost_oldest_seconds"] - run["lost_newest_seconds"] for run in measured if run["lost"])
    rows = f"{min(losses)} to {max(losses)} rows" if min(losses) < max(losses) else f"{max(losses)} rows"
    return f"{rows}, up to {longest:.1f} s of writes"


def two_writers(runs):
    measured = [run for run in runs if "error" not in run]
    with_two = [run for run in measured if run["second_writer_rows"]]
    if not measured:
        return "–"
    if not with_two:
        return "no"
    longest = max(run["second_writer_seconds"] for run in with_two)
    return f"**in {len(with_two)} of {len(measured)}**, for up to {longest:.1f} s"


def remarks(runs, contenders):
    """What a reader has to know who sees the table."""
    said = []
    for name, contender in contenders.items():
        mine = [run for run in runs if run["contender"] == name and "error" not in run]
        partitions = sum(run["fault"] == "partition" for run in mine)
        unsettled = sum(run["fault"] == "partition" and run["settled_seconds"] is None for run in mine)
        if unsettled:
            said.append(f"- {contender.title}: in {unsettled} of {partitions} partitions the old writer was no standby again within 150 s of the healing.")
        healing = spread([run["outage_after_healing_seconds"] for run in mine if run["fault"] == "partition"])
        if healing and healing[2] > 1:
            said.append("- {}: a second pause in writing after the healing, {:.1f} s ({:.1f} to {:.1f}).".format(contender.title, *healing))
    for run in runs:
        if "error" in run:
            said.append(f"- Not measured, {contenders[run['contender']].title}, {run['fault']}: {run['error'].splitlines()[0][:200]}")
    return said


def machine():
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{os.cpu_count()} × {model.group(1) if model else platform.machine()}, {pages / 2**30:.0f} GiB, Linux {platform.release()}"


def postgres_version():
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        return "PostgreSQL"
    said = subprocess.run([programs[-1], "--version"], capture_output=True, text=True, check=False).stdout
    return said.strip().replace("postgres (PostgreSQL)", "PostgreSQL")
