"""The paper's questions: its cluster sizes come out of our bounds, and the page says what was found."""

import re
from pathlib import Path
from typing import Any

import pytest

from emu.plan import paper
from emu.plan.paper_page import marks, tables, write_page
from emu.plan.paper_report import FIGURES, write_paper_report
from emu.plan.planner import searches
from emu.plan.report import REPORT
from emu.plan.reproduce import Reproduced, made
from emu.refusal import Refusal

# Splitwise, section 6.2 and its notebooks: the largest clusters on the power and at the price of 40 DGX-H100
SIZES = {
    "iso-power": {"Baseline-A100": (70,), "Baseline-H100": (40,), "AA": (45, 25), "HA": (25, 26), "HHcap": (25, 21)},
    "iso-cost": {"Baseline-A100": (86,), "Baseline-H100": (40,), "AA": (51, 35), "HH": (25, 15), "HA": (30, 21)},
}


@pytest.mark.parametrize("asked", SIZES)
def test_the_papers_clusters_are_the_largest_that_its_bounds_allow(asked: str) -> None:
    questions = paper.first_questions(paper.FULL)
    plan = next(one.plan for one in questions if one.asked == asked and one.workload == "conversation")
    largest = {one.design.name: [point.counts for point in one.space.points(0)] for one in searches(plan, {})}
    for design, counts in SIZES[asked].items():
        assert counts in largest[design]


def test_every_question_is_asked_once() -> None:
    for scale in (paper.FULL, paper.QUICK):
        questions = paper.first_questions(scale)
        assert len({(one.costs, one.model, one.workload, one.asked) for one in questions}) == len(questions)
        assert len(questions) == len(paper.COSTS) * len(scale.models) * len(paper.WORKLOADS) * len(paper.SETS)
        for one in questions:
            assert one.plan.scenario["costs"]["model"] == one.costs


def design(name: str, value: float | None, scale: float, groups: int) -> dict[str, Any]:
    machines = [{"pool": "mixed", "hardware": "dgx-h100", "count": 3}] * groups
    common = {"name": name, "machines": machines, "rate_rps": 10.0 * scale, "cost_per_hour": 100.0 * scale}
    common |= {"power_w": 5000.0 * scale, "value": value}
    if value is None:
        return common | {"nearest_miss": {"limit": "ttft_p99", "ratio": 1.5}}
    return common | {"interval": [value, value + 1], "limits": {"tbt_p50": [0.5, 0.4, 0.6]}, "deciding": "tbt_p50"}


def outcome(asked: str, *, broken: str = "") -> dict[str, Any]:
    designs = [
        design(name, None if name == broken else 5.0, 1.0 + index / 10, 1 if index < 2 else 2)
        for index, name in enumerate(paper.DESIGNS)
    ]
    objective = asked.rsplit(" ", 1)[1] if asked.startswith("iso-throughput") else "throughput"
    return {"objective": objective, "best": "AA", "designs": designs}


def outcomes(broken: str = "") -> dict[tuple[str, str, str, str], dict[str, Any]]:
    asked = [(paper.BLOOM, workload, one) for workload in paper.WORKLOADS for one in paper.SETS]
    asked += [(paper.BLOOM, "conversation", paper.CHANGED_WORKLOAD), (paper.LLAMA, "conversation", paper.CHANGED_MODEL)]
    asked += [(paper.BLOOM, "conversation", paper.HALF_CAPPED)]
    return {(costs, *one): outcome(one[2], broken=broken) for costs in paper.COSTS for one in asked}


BATCH = [
    {"costs": costs, "workload": workload, "design": name, "counts": [1], "requests_per_s": 3.0, "per_dollar": 0.5}
    for costs in paper.COSTS
    for workload in paper.WORKLOADS
    for name in paper.DESIGNS
]


def test_claims_are_the_ratios_of_our_figures() -> None:
    text = tables(paper.QUICK, outcomes(), BATCH, "made")
    assert "| 2.15 (cost 1.00) | 1.20 (cost 1.20) | 1.20 (cost 1.20) |" in text  # AA 1.2 over Baseline-A100 1.0
    assert "| 0.75 (cost 1.00) | 1.36 (cost 1.36) |" in text  # HHcap 1.5 over Baseline-H100 1.1
    assert "| 27 + 3 | 3 + 3 | 3 + 3 |" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| calibrated |")}
    assert widths == {2 + 1 + len(paper.DESIGNS)}


def test_a_design_that_meets_nothing_is_said_to() -> None:
    text = tables(paper.QUICK, outcomes(broken="AA"), BATCH, "made")
    assert "| 2.15 (cost 1.00) | none | none |" in text
    assert "ttft_p99 is 1.50 times its limit" in text


def test_what_is_not_answered_is_said_to_be_not_made() -> None:
    answered = {key: one for key, one in outcomes().items() if key[:3] == ("calibrated", paper.BLOOM, "conversation")}
    rows = [row for row in BATCH if row["costs"] == "calibrated"]
    text = tables(paper.FULL, answered, rows, made(paper.FULL, Reproduced(5, 7.0), answered, 38))
    assert "| 2.15 (cost 1.00) | 1.20 (cost 1.20) | not made |" in text
    assert "**Only 6 of 38 questions are answered so far**" in text
    assert "- bloom-176b, conversation, calibrated costs: iso-power; iso-cost;" in text
    assert "Under the splitwise-sim costs" not in text
    assert "| splitwise-sim | coding |" + " not made |" * len(paper.DESIGNS) in text
    assert "answered so far" not in made(paper.FULL, Reproduced(5, 7.0), answered, len(answered))


def test_the_report_has_the_tables_and_their_pictures_and_fetches_nothing(tmp_path: Path) -> None:
    answered = {key: one for key, one in outcomes(broken="AA").items() if key[2] == "coding"}
    write_paper_report(tmp_path, paper.QUICK, tables(paper.QUICK, answered, BATCH, "made"), answered, {})
    page = (tmp_path / REPORT).read_text()
    assert page.count("<h3>") > len(answered)
    assert "<td>27 + 3</td>" in page.replace('<td style="text-align:left">', "<td>")
    assert page.count("<svg") == 1 + len(answered)
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {path.name for path in tmp_path.iterdir()} == {REPORT, *FIGURES}


def test_only_what_stands_between_the_marks_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (begin, end), (other, _) = marks(paper.QUICK), marks(paper.FULL)
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n{other}\n")
    for text in ("new\n", "newer\n"):
        write_page(page, paper.QUICK, text)
        assert page.read_text() == f"before\n{begin}\n{text}{end}\nafter\n{other}\n"
    with pytest.raises(Refusal, match="marks"):
        write_page(page, paper.FULL, "new\n")
    with pytest.raises(Refusal, match="nowhere"):
        write_page(tmp_path / "nowhere.md", paper.FULL, "new\n")
