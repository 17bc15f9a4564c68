"""docs/performance.md and docs/scaling.md, from the figures that were measured. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# CPU seconds of whole processes on the same kind of machine: splitwise-sim, and DynoSim 1.4.2 (Rust)
SPLITWISE_SIM = {"split": 65.0, "mixed": 21.0}
DYNOSIM = {"mixed": 10.3, "split": 18.6}

Figures = dict[str, Any]


STARTUP = (
    "What was expected of a run of a dozen requests, when it took 1,694 M instructions, 3.3 times trio and attrs alone "
    "(22 November 2026): that most of it is importing what it does not use, rich first. What was found, by counting "
    "instructions around every import and every class: rich 170 M, for a page that is a few aligned columns; cattrs "
    "120 M, mostly for the functions that it writes for each class; equality and representation, which attrs writes "
    "and compiles for each class, 160 M where nobody asks for them (without them a class still takes 1.3 M to 2 M); "
    "modules of faults, traces and policies that such a run does not use about 90 M; quantiles as TOML, where JSON is "
    "read thirty times as fast, 22 M; the search for cycles among what was imported, twice more when the process ends, "
    "90 M. What is left beside trio and attrs: about 220 M for 112 classes of attrs, 75 M for NamedTuples, 75 M for "
    "click, 25 M for profiles in TOML, 50 M for the run itself."
)


SMALL = (
    "What was expected: that what each run does once (resolving, building, laws, starting trio, the digest) is half of "
    "it. What was found, by counting instructions (23 November 2026): of 60 M without a fault, 82 % are the run itself, "
    "109 wakeups and 325 entries, laws included; 7 % the lines and the digest of those entries; 4 % building; 2 % the "
    "summary; 2 % trio's own start and end; 2 % workload, profiles and laws together. So a small run costs what its "
    "requests do, as a long one. With a crash it is 102 M: the router has things to look for every second, 86 wakeups "
    "and 200 messages more. It was 140 M until checksums were taken by runs of blocks."
)


def write(kept: Figures, docs: Path) -> None:
    (docs / "performance.md").write_text(_performance(kept), encoding="utf-8")
    (docs / "scaling.md").write_text(_scaling(kept), encoding="utf-8")


def _performance(kept: Figures) -> str:
    parts = [
        "# What it costs",
        "Made by `make bench`. CPU seconds are those of the whole process, start-up, all laws, the record and "
        "requests.csv on disk included; the machine has two cores and is shared, so figures of one table belong "
        "together and those of two need not. Where a target is named, it is the one that we set ourselves.",
        _reference(kept.get("reference")),
        _mooncake(kept.get("mooncake")),
        _floor(kept.get("floor")),
        _startup(kept.get("startup")),
        _small(kept.get("small")),
        _paced(kept.get("paced")),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scaling(kept: Figures) -> str:
    parts = [
        "# How far it goes",
        "Made by `make bench`, like [performance.md](performance.md).",
        _machines(kept.get("machines"), kept.get("huge")),
        _length(kept.get("length")),
        _routing(kept.get("routing")),
        _bounds(kept),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---" for _ in head], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _reference(found: Figures | None) -> str:
    if not found:
        return ""
    rows = []
    for name, cluster, target in (("split", "25 prefill + 15 decode", 3.3), ("mixed", "40 mixed", 2.1)):
        run, theirs = found[name], SPLITWISE_SIM[name]
        ours, wakeups, entries = run["cpu_s"], run["wakeups"] / run["requests"], run["entries"] / run["requests"]
        rows.append(
            (
                cluster,
                f"{ours:.1f}",
                f"{theirs:.0f}",
                f"{theirs / ours:.1f}",
                f"{target}",
                f"{wakeups:.1f}",
                f"{entries:.1f}",
            )
        )
    head = (
        "DGX-H100",
        "CPU s",
        "splitwise-sim",
        "times fewer",
        "target CPU s",
        "wakeups a request",
        "entries a request",
    )
    return (
        f"## 8,502 requests of conversation at 70 a second ({found['measured']})\n\n"
        "The trace that splitwise-sim was measured on.\n\n" + table(head, rows)
    )


def _mooncake(found: Figures | None) -> str:
    if not found:
        return ""
    rows = []
    for name, cluster in (("mixed", "8 mixed"), ("split", "3 prefill + 5 decode")):
        for leaps, run in (("on", found[name]), ("off", found[f"{name}_stepwise"])):
            rows.append(
                (
                    cluster,
                    f"ours, leaps {leaps}",
                    f"{run['cpu_s']:.1f}",
                    f"{1000 * run['cpu_s'] / run['requests']:.2f}",
                    f"{run['steps']:,}",
                    f"{run['completed']:,}",
                    f"{run['peak_queue']:,}",
                )
            )
        theirs = DYNOSIM[name]
        rows.append(
            (cluster, "DynoSim 1.4.2", f"{theirs:.1f}", f"{1000 * theirs / 12_031:.2f}", "each iteration", "12,031", "")
        )
    head = ("machines", "program", "CPU s", "ms a request", "steps", "completed", "most requests waiting")
    return (
        f"## Mooncake's conversation trace, whole ({found['measured']})\n\n"
        "12,031 requests, 12,035 prompt tokens on average, round-robin, no limit on any queue; 3 + 5 machines are "
        "overloaded by it. DynoSim is compiled, steps every iteration, reuses prefixes and does not move caches by a "
        "protocol; we emulate the protocol, reuse no prefix and leap over iterations in which nothing changes. "
        "Our target was 5 s each.\n\n" + table(head, rows)
    )


def _floor(found: Figures | None) -> str:
    if not found:
        return ""
    return (
        f"## The floor ({found['measured']})\n\nOne bare wakeup, a task of trio that waits on the heap clock and does "
        f"nothing else, takes {found['bare_wakeup_us']:.1f} us of CPU. A request of the reference trace needs "
        f"{found['wakeups_per_request']:.1f} wakeups (target: at most 12) and {found['entries_per_request']:.1f} "
        f"entries (at most 16), and {found['ratio']:.1f} times the CPU of 7.5 bare wakeups measured in the same run "
        "(target: at most 6). By samples of the call stack (22 November 2026) about a seventh "
        "of the rest is laws, folds and lines of the "
        "record; a tenth trio's own; a tenth load reports and the router; the emulated memory, links and workers a "
        "fifth; the machines' cores and nodes the rest. No function has more than 5 %."
    )


def _startup(found: Figures | None) -> str:
    if not found:
        return ""
    counted, rows = found["instructions"], []
    for name, command, beside, ratio, target in (
        ("help", "`emu --help`", ("pass", "`python -c pass`"), found["help_ratio"], "6 x"),
        (
            "hello",
            "`emu run scenarios/hello.toml`",
            ("imports", "`python -c 'import trio, attrs'`"),
            found["hello_ratio"],
            "2 x",
        ),
    ):
        instructions = ""
        if counted[name] is not None and counted[beside[0]] is not None:
            instructions = f"{counted[name] / 1e6:,.0f} M, {counted[name] / counted[beside[0]]:.2f} x"
        rows.append((command, f"{1000 * found[name]:.0f}", f"{ratio:.2f} x {beside[1]}", instructions, target))
    return (
        f"## Start-up ({found['measured']})\n\n"
        + table(("command", "CPU ms", "that is (median of pairs)", "instructions", "target"), rows)
        + "\n\n"
        + STARTUP
    )


def _small(found: Figures | None) -> str:
    if not found:
        return ""
    rows = [("none", f"{found['clean_ms']:.1f}"), ("one crash", f"{found['crash_ms']:.1f}")]
    return (
        f"## Small runs ({found['measured']})\n\n2 + 2 machines, 20 requests, all laws on, in a process that is warm: "
        "what a fuzzer runs by the thousand. Target: 15 ms.\n\n"
        + table(("faults", "CPU ms a run"), rows)
        + "\n\n"
        + SMALL
    )


def _paced(found: Figures | None) -> str:
    if not found:
        return ""
    rows = []
    for pace in found["paces"]:
        asked, reached = pace["asked"], pace["reached"]
        below = asked <= found["headless"] * 0.67
        rows.append(
            (
                f"x {asked:.2f}",
                f"{asked / found['headless']:.2f}",
                f"x {reached:.2f}",
                f"{100 * (reached / asked - 1):+.2f} %",
                "1 %" if below else "the speed itself",
                f"{1000 * pace['behind_s']:.0f}" if below else "",
                "yes" if pace["same"] else "NO",
            )
        )
    head = (
        "pace",
        "of the speed without",
        "reached",
        "beside the pace",
        "target",
        "ms behind at the most",
        "the same record",
    )
    return (
        f"## Paced runs ({found['measured']})\n\n25 + 15 machines at 70 requests a second, as the cockpit starts them, "
        f"each over {found['window_s']:.0f} s of the wall clock. Without a pace the run had x {found['headless']:.1f}, "
        f"on a machine that others used too (load {found['load']:.1f} on two cores). A pace that is out of reach slows "
        "the clock that is shown, and skips nothing: as far as both go, every record begins as that of the run without "
        "a pace, byte for byte.\n\n" + table(head, rows)
    )


def _machines(found: Figures | None, huge: Figures | None) -> str:
    if not found:
        return ""
    runs = [("40", "70", found["few"]), ("1,000", "1,750", found["many"])]
    if huge:
        runs.append(("10,000", "17,500", huge["10000"]))
    first = found["few"]["cpu_s"] / found["few"]["requests"]
    rows = []
    for machines, rate, run in runs:
        each = run["cpu_s"] / run["requests"]
        rows.append(
            (
                machines,
                rate,
                f"{run['requests']:,}",
                f"{run['cpu_s']:.1f}",
                f"{1000 * each:.2f}",
                f"{each / first:.2f}",
                f"{run['peak_mib']:.0f}",
            )
        )
    head = ("machines", "requests a second", "requests", "CPU s", "ms a request", "beside 40 machines", "peak MiB")
    return f"## More machines ({found['measured']})\n\nTarget: 1.3 at 1,000 machines.\n\n" + table(head, rows)


def _length(found: Figures | None) -> str:
    if not found:
        return ""
    rows = []
    for requests in sorted((key for key in found if key != "measured"), key=int):
        run = found[requests]
        rows.append(
            (
                f"{run['requests']:,}",
                f"{run['cpu_s']:.0f}",
                f"{1000 * run['cpu_s'] / run['requests']:.2f}",
                f"{run['peak_mib']:.0f}",
            )
        )
    return (
        f"## Longer runs ({found['measured']})\n\n"
        "40 machines, 70 requests a second, record and requests.csv on disk.\n\n"
        + table(("requests", "CPU s", "ms a request", "peak MiB"), rows)
    )


def _routing(found: Figures | None) -> str:
    if not found:
        return ""
    rows = []
    for machines in sorted((key for key in found if key != "measured"), key=int):
        assignment_us, report_us = found[machines]["assignment_us"], found[machines]["report_us"]
        most = 1e6 / (1.75 * assignment_us + 10 * report_us)
        each = (f"{assignment_us:.1f}", f"{1e6 / assignment_us:,.0f}", f"{report_us:.1f}", f"{most:,.0f}")
        rows.append((f"{int(machines):,}", *each))
    head = ("machines", "us an assignment", "a second", "us a load report", "machines that fill one core")
    return (
        f"## The router alone ({found['measured']})\n\nTime in `Router.handle`, policy splitwise. Machines are ranked "
        "in heaps, so a decision costs O(log n). The last column is where one core in this Python is full, at the "
        "paper's 1.75 requests a second and machine and ten load reports a second from each: reports, not requests, "
        "are what saturates the paper's cluster-level scheduler.\n\n" + table(head, rows)
    )


def _bounds(kept: Figures) -> str:
    """What bounds one process, from the figures of the tables above it."""
    clusters, lengths = kept.get("machines"), kept.get("length")
    if not clusters or not lengths:
        return ""
    sizes = [("40 machines", 70, clusters["few"]), ("1,000 machines", 1750, clusters["many"])]
    if "huge" in kept:
        sizes.append(("10,000 machines", 17_500, kept["huge"]["10000"]))
    paces = [f"{rate * run['cpu_s'] / run['requests']:.2g} for {name}" for name, rate, run in sizes]
    large = sizes[-1][2]
    per_machine_mib = (large["peak_mib"] - clusters["few"]["peak_mib"]) / (10_000 if "huge" in kept else 1000)
    runs = sorted((run for key, run in lengths.items() if key != "measured"), key=lambda run: int(run["requests"]))
    grown_mib = runs[-1]["peak_mib"] - runs[0]["peak_mib"]
    per_request_bytes = grown_mib * 2**20 / (runs[-1]["requests"] - runs[0]["requests"])
    return (
        "## What bounds one process\n\nOne core: a run is one thread of Python, and costs CPU by the request. A second "
        f"of virtual time at the paper's 1.75 requests a second and machine takes {', '.join(paces)} CPU seconds; so a "
        "cluster of 40 machines runs faster than the world that it stands for, and larger ones slower. Memory does not "
        f"bound it: a machine with its queues, ledgers and used blocks takes {1024 * per_machine_mib:.0f} "
        f"KiB, and what is kept of a request that is over {per_request_bytes:.0f} bytes. "
        "Several runs at a time are several processes: `emu sweep --jobs`."
    )
