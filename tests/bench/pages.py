"""docs/performance.md, from the figures that were measured. Nothing is measured here."""

from __future__ import annotations

from pathlib import Path

from bench.findings import CONDITIONS, FLOOR, PACED, SMALL, STARTUP
from bench.runs import Figures
from bench.scaling import scaling
from bench.tables import table

# CPU seconds of whole processes on the same kind of machine: splitwise-sim, and DynoSim 1.4.2 (Rust)
SPLITWISE_SIM = {"split": 65.0, "mixed": 21.0}
DYNOSIM = {"mixed": 10.3, "split": 18.6}


def write(kept: Figures, docs: Path) -> None:
    (docs / "performance.md").write_text(_performance(kept), encoding="utf-8")
    (docs / "scaling.md").write_text(scaling(kept), encoding="utf-8")


def _performance(kept: Figures) -> str:
    parts = [
        "# What it costs",
        "Made by `make bench`. CPU seconds are those of the whole process, start-up, all laws, the record and "
        "requests.csv on disk included; the machine has two cores and is shared, so figures of one table belong "
        "together and those of two need not. Where a target is named, it is the one that we set ourselves. "
        + CONDITIONS,
        _reference(kept.get("reference")),
        _mooncake(kept.get("mooncake")),
        _floor(kept.get("floor")),
        _startup(kept.get("startup")),
        _small(kept.get("small")),
        _paced(kept.get("paced")),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


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
        "fifth; the machines' cores and nodes the rest. No function has more than 5 %.\n\n" + FLOOR
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
        "a pace, byte for byte.\n\n" + table(head, rows) + "\n\n" + PACED
    )
