"""The page: docs/reliability.md, from tables that were counted. It judges nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from emu.reliability import orphans
from emu.reliability.cells import Cell, why_not
from emu.reliability.matrix import COLUMNS, WANTED, Matrix, moves
from emu.reliability.parts import Size
from emu.reliability.phases import PHASES
from emu.reliability.plans import Tally
from emu.reliability.rolling import Curve
from emu.scenario.draw import KINDS, draw_scenario

_AT_MOST = (
    "A fault costs a loan at most its blocks x (lease + sweep), by slow clocks, and as long as its machine stands "
    "still besides, which cannot sweep then; each plan that takes longer is named below."
)
_SHORT = ("queued", "prefilling", "moving, 1st half", "moving, 2nd half", "decode not told", "not acked", "decoding")


def page(
    tables: Mapping[str, Mapping[tuple[str, str], Cell]],
    matrix: Matrix,
    tally: Tally,
    curves: Iterable[Curve],
    size: Size,
    program: str,
    *,
    complete: bool,
    built: str = "",
    drew: str = "",
) -> str:
    """All of it, as Markdown; `built` is the program that made the built worlds, `drew` the plans, if it is another."""
    asked = f"--plans {size.plans} --worlds {size.worlds} --seconds {size.seconds:g}"
    less = (
        ""
        if complete
        else (
            f" It was stopped before the end: {tally.plans} of {size.plans} plans and {matrix.worlds} of {size.worlds} "
            "worlds are in it."
        )
    )
    parts = [
        "# What faults cost",
        f"Made by `make reliability` (`python -m emu.reliability {asked}`) with the program {program}; every figure is "
        f"counted from records.{less} A strike counts in a cell only where the record has it at a time when the "
        "request that it was aimed at was open and in that phase (the run without faults, which is the same until the "
        "first strike, says which). *Lost*: a request that had to complete and did not. *Corrupted*: an answer that is "
        "not the one without faults. *Orphan*: the longest that a loan of blocks was held with neither a live attempt "
        "nor a posted transfer to hold it for.",
    ]
    for direction, cells in tables.items():
        kinds = list(dict.fromkeys(kind for kind, _ in cells))
        kinds = [kind for kind in KINDS if kind in kinds or (kind == "join" and cells)]
        parts += [
            f'## Every kind in every phase, `direction = "{direction}"`',
            _grid(cells, kinds),
            _rest(cells, kinds),
        ]
    parts += [_costs(tables), _moves(matrix, built), _drawn(tally, drew)]
    runs = list(curves)
    parts += [_curve(curve) for curve in runs] + _overload(runs)
    return "\n\n".join(parts) + "\n"


def _grid(cells: Mapping[tuple[str, str], Cell], kinds: Sequence[str]) -> str:
    lines = [f"| strikes | {' | '.join(_SHORT)} | lost | corrupted | laws |", "|---" * (len(_SHORT) + 4) + "|"]
    for kind in kinds:
        row = [cells.get((kind, phase)) for phase in PHASES]
        there = [cell for cell in row if cell is not None]
        laws = sorted({law for cell in there for law in cell.laws})
        lost, corrupted = sum(cell.lost for cell in there), sum(cell.corrupted for cell in there)
        counts = " | ".join("-" if cell is None else str(cell.strikes) for cell in row)
        lines.append(f"| {kind} | {counts} | {lost} | {corrupted} | {', '.join(laws) or 'held'} |")
    return "\n".join(lines)


def _rest(cells: Mapping[tuple[str, str], Cell], kinds: Sequence[str]) -> str:
    reasons: dict[str, list[str]] = {}
    for kind in kinds:
        for phase, short in zip(PHASES, _SHORT, strict=True):
            if (kind, phase) not in cells:
                reasons.setdefault(why_not(kind, phase), []).append(f"{kind}/{short}")
    lines = [f"- {reason}: {', '.join(missing)}" for reason, missing in reasons.items()]
    return "Cells without a strike, and why:\n\n" + "\n".join(lines)


def _costs(tables: Mapping[str, Mapping[tuple[str, str], Cell]]) -> str:
    lines = ["| kind | strikes | time to detect, s (mean, most) | longest orphan, s | tokens made again a strike |"]
    lines.append("|---|---|---|---|---|")
    by_kind: dict[str, list[Cell]] = {}
    for cells in tables.values():
        for (kind, _), cell in cells.items():
            by_kind.setdefault(kind, []).append(cell)
    for kind, there in by_kind.items():
        detect_s = [seconds for cell in there for seconds in cell.detect_s]
        detect = f"{sum(detect_s) / len(detect_s):.2f}, {max(detect_s):.2f}" if detect_s else "-"
        strikes, again = sum(cell.strikes for cell in there), sum(cell.tokens_again for cell in there)
        orphan_s = max(cell.longest_orphan_s for cell in there)
        lines.append(f"| {kind} | {strikes} | {detect} | {orphan_s:.2f} | {again / strikes:.0f} |")
    return "\n".join(["## What a strike costs", "", *lines])


def _moves(matrix: Matrix, built: str) -> str:
    lines = [f"| table | in state | next move | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 3) + "|"]
    reasons: dict[str, list[str]] = {}
    for move in moves():
        counts = [matrix.reached[move, column] for column in COLUMNS]
        lines.append(f"| {' | '.join(move)} | {' | '.join(str(count) for count in counts)} |")
        for column, count in zip(COLUMNS, counts, strict=True):
            if count < WANTED:
                cell = f"{move[0]} {move[1]} - {move[2]}/{column}"
                reasons.setdefault(matrix.why_not(move, column), []).append(cell)
    short = [f"- {reason} ({len(cells)} cells): {'; '.join(cells)}" for reason, cells in reasons.items()]
    broken = "\n".join(f"- {what}" for what in matrix.broken[:20]) or "No law was broken in any of them."
    return "\n".join(
        [
            "## Every move of the transition tables",
            "",
            "How often a fault struck an attempt that was in a state and would have made that move next, in "
            f"{matrix.runs} runs over {matrix.worlds} drawn worlds, with puts and with gets, and over those that were "
            f"built for the rarest moves (`emu/reliability/built.py`{f', by the program {built}' if built else ''}); a "
            f"cell that has {WANTED} is not aimed at any more.",
            "",
            *lines,
            "",
            f"Cells reached less than {WANTED} times, and why:",
            "",
            *short,
            "",
            broken,
        ]
    )


def _drawn(tally: Tally, drew: str) -> str:
    by = f" by the program {drew}" if drew else ""
    share = 100 * tally.struck_live / max(1, tally.plans)
    bound_s = orphans.bound_s(evolve(draw_scenario(0), faults=()))
    held = "within" if tally.longest_orphan_s <= bound_s else "beyond"
    bad = "\n".join(f"- seed {seed}: {what}" for seed, what in tally.bad[:40]) or "None broke anything."
    return (
        "## Drawn plans\n\n"
        f"{tally.plans} plans, drawn from seeds by `emu.scenario.draw`, each against a small cluster of its own{by}; "
        f"{tally.struck_live} of them ({share:.1f} %) struck a live request. {tally.requests} requests had to "
        f"complete, {tally.lost} were lost, {tally.corrupted} answers were corrupted; the longest orphan lasted "
        f"{tally.longest_orphan_s:.2f} s, {held} the {bound_s:.1f} s of a lease and a sweep by the slowest clock. "
        f"{_AT_MOST} {_killed(tally)}Plans that broke something: {len(tally.bad)}.\n\n{bad}"
    )


def _killed(tally: Tally) -> str:
    """How many machines the poisoned requests have killed before they were found out, and nobody else."""
    if not tally.killed:
        return ""
    plans = ", ".join(f"{machines} in {count}" for machines, count in sorted(tally.killed.items()))
    return (
        f"In {sum(tally.killed.values())} plans a request was poison; so many machines did it kill: {plans}. More than "
        "two only where the router was replaced, which has heard no word of what the ones before it had. "
    )


def _curve(curve: Curve) -> str:
    lines = ["| seconds | completed a second | good a second |", "|---|---|---|"]
    lines += [f"| {first} to {last} | {rate:.1f} | {good:.1f} |" for first, last, rate, good in curve.rates]
    statuses = ", ".join(f"{count} {status}" for status, count in curve.statuses.items())
    since = "never" if curve.recovered_s is None else f"{curve.recovered_s:.0f} s after the trouble"
    recovered = "" if curve in _steady([curve]) else f" Back at 95 % of the goodput before, over 10 s: {since}."
    return "\n".join(
        [
            f"## {curve.title}",
            "",
            f"{curve.arrived} requests arrived: {statuses}.{recovered} "
            f"Laws broken: {', '.join(curve.broken) or 'none'}.",
            "",
            *lines,
        ]
    )


def _overload(curves: Sequence[Curve]) -> list[str]:
    """What too much costs, in a line, where both runs are there."""
    steady = _steady(curves)
    if len(steady) != 2:
        return []
    (least, peak), (most, twice) = sorted((curve.title.split()[1], curve) for curve in steady)
    usual, much = peak.good_rps(20, 60), twice.good_rps(20, 60)
    share = f"{100 * much / usual:.0f} %"
    what = f"{usual:.1f} good requests a second at {least} that arrive, {much:.1f} at {most}: {share}"
    return [f"## What too much costs\n\nFrom 20 to 60 s, {what}."]


def _steady(curves: Sequence[Curve]) -> list[Curve]:
    """Those at one rate throughout, whom nothing strikes."""
    return [curve for curve in curves if curve.title.startswith("At ")]
