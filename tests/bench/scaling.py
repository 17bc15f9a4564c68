"""docs/scaling.md, from the figures that were measured. Nothing is measured here."""

from __future__ import annotations

from bench.findings import LONGEST
from bench.runs import Figures
from bench.tables import table


def scaling(kept: Figures) -> str:
    parts = [
        "# How far it goes",
        "Made by `make bench`, like [performance.md](performance.md).",
        _machines(kept.get("machines"), kept.get("huge")),
        _length(kept.get("length")),
        _routing(kept.get("routing")),
        _bounds(kept),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


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
        + (f"\n\n{LONGEST}" if "1000000" in found else "")
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
