"""Section: two real GPUs beside their emulation, and which of two configurations is better in both worlds.

The real figures are those of docs/real/configurations.csv; the emulated ones are run now. Two configurations whose
repeats overlap in reality are a tie there: no emulator can be right or wrong about them.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple

from emu.execute import execute
from emu.refusal import Refusal
from emu.scenario.load import load
from emu.validate.configurations import BASE, CONFIGURATIONS, FIGURES, SCENARIO, Figures, figures_of, shipped
from emu.validate.lab import Lab
from emu.validate.words import apart, ms, table

WORDS: Final = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "ttst": "second token (TTST)",
    "tbt": "every gap (TBT)",
    "e2e": "E2E",
    "remainder": "transfer remainder",
}
RANKED: Final = ("ttft_mean", "ttft_p99", "tpot_mean", "tpot_p99", "ttst_mean", "ttst_p99", "e2e_mean", "e2e_p99")
BESIDE: Final = ("ttft_mean", "ttft_p99", "tpot_mean", "tpot_p99", "ttst_mean", "tbt_p99", "e2e_mean", "remainder_mean")


class Ranking(NamedTuple):
    """Pairs of configurations, by one figure: those on which both worlds agree, ties of the real one, and those that
    the emulator gets wrong, by name. `by_means` are the agreements if ties are broken by the means of the repeats."""

    agree: int
    ties: int
    wrong: tuple[tuple[str, str], ...]
    by_means: int

    @property
    def told_apart(self) -> int:
        """Pairs that the real world tells apart."""
        return self.agree + len(self.wrong)


def section(lab: Lab) -> dict[str, str]:
    """The tables of prose/real-pair.md."""
    real = shipped()
    emulated = {name: _emulated(lab, overrides) for name, overrides in {BASE: (), **CONFIGURATIONS}.items()}
    configurations = {name: real[name] for name in CONFIGURATIONS}
    return {
        "beside": _beside(real[BASE], emulated[BASE]),
        "configurations": _configurations(configurations, emulated),
        "ranking": _ranking(configurations, emulated),
    }


def rank(real: Mapping[str, Sequence[Figures]], emulated: Mapping[str, Figures], figure: str) -> Ranking:
    """Every pair of configurations. In reality it is told apart where no repeat of one lies among the other's."""
    agree, ties, by_means, wrong = 0, 0, 0, []
    for one, other in combinations(real, 2):
        first, second = ([run[figure] for run in real[name]] for name in (one, other))
        less = emulated[one][figure] < emulated[other][figure]
        by_means += (statistics.fmean(first) < statistics.fmean(second)) == less
        if max(first) >= min(second) and max(second) >= min(first):
            ties += 1
        elif (max(first) < min(second)) == less:
            agree += 1
        else:
            wrong.append((one, other))
    return Ranking(agree, ties, tuple(wrong), by_means)


def _emulated(lab: Lab, overrides: Sequence[str]) -> Figures:
    outcome = execute(load(SCENARIO, overrides))
    lab.cpu_s += outcome.summary["cpu_s"]
    if outcome.broken:
        raise Refusal(
            SCENARIO.name, f"expected every law to hold; broken: {', '.join(law.name for law in outcome.broken)}"
        )
    return figures_of(outcome.summary)


def _beside(real: Sequence[Figures], emulated: Figures) -> str:
    first, second = real
    rows = []
    for metric, words in WORDS.items():
        cells = []
        for figure in FIGURES:
            mine, theirs = emulated[f"{metric}_{figure}"], first[f"{metric}_{figure}"]
            cells.append(f"{ms(theirs / 1e3)} / {ms(mine / 1e3)} ({apart(mine / theirs - 1)})")
        repeat = (apart(second[f"{metric}_{figure}"] / first[f"{metric}_{figure}"] - 1) for figure in ("mean", "p99"))
        rows.append((words, *cells, ", ".join(repeat)))
    return table(("milliseconds, real / emulated", *FIGURES, "real again: mean, p99"), rows)


def _configurations(real: Mapping[str, Sequence[Figures]], emulated: Mapping[str, Figures]) -> str:
    rows = []
    for name, runs in real.items():
        cells = []
        for figure in BESIDE:
            if figure not in emulated[name]:
                cells.append("")
                continue
            mean, mine = statistics.fmean(run[figure] for run in runs), emulated[name][figure]
            cells.append(f"{ms(mean / 1e3)} / {ms(mine / 1e3)} ({apart(mine / mean - 1)})")
        rows.append((name, *cells))
    headings = (f"{WORDS[metric]} {figure}" for metric, figure in (each.split("_") for each in BESIDE))
    return table(("milliseconds, real / emulated", *headings), rows)


def _ranking(real: Mapping[str, Sequence[Figures]], emulated: Mapping[str, Figures]) -> str:
    rows = []
    for figure in RANKED:
        found = rank(real, emulated, figure)
        metric, of = figure.split("_")
        wrong = "; ".join(" and ".join(pair) for pair in found.wrong)
        rows.append(
            (
                f"{WORDS[metric]}, {of}",
                f"{found.agree} of {found.told_apart}",
                str(found.ties),
                str(found.by_means),
                wrong,
            )
        )
    return table(
        ("better by", "both worlds agree", "ties in reality", "agree, by means, of 21", "the emulator is wrong about"),
        rows,
    )
