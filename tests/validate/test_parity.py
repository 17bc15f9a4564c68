"""splitwise-sim's results, request by request, under its own rules; where the reference files are at hand."""

from pathlib import Path

import numpy as np
import pytest

from emu.validate.lab import Lab
from emu.validate.reference import CASES, HH, MIXED, Beside, Case, compare

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, SHARED)


def at_hand(case: Case) -> None:
    if not (SHARED / case.file).exists():
        pytest.skip(f"../shared/{case.file} is not there")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whole_files_agree(case: Case, lab: Lab) -> None:
    """Mean, p50 and p90 within 2 per cent, p99 within 5. First tokens, and mixed machines, to the microsecond."""
    at_hand(case)
    for name, both in compare(lab, case).items():
        assert len(both.ours) == 8502
        for key, share in both.apart().items():
            assert abs(share) <= (0.05 if key == "p99" else 0.02), (name, key, share)
        assert both.same() == 1.0 or (case is HH and name != "TTFT")


def test_with_blocks_of_one_token_every_decode_machine_is_the_same_too(lab: Lab) -> None:
    """Their router ranks decode machines by bytes, ours by blocks; of 16 tokens, that is now and then another."""
    at_hand(HH)
    fine, coarse = compare(lab, HH, 420, block_tokens=1), compare(lab, HH, 420)
    assert len(fine["E2E"].ours) > 100
    assert all(both.same() == 1.0 for both in fine.values())
    assert coarse["E2E"].same() < 1.0


def test_their_guard_against_starving_decodes_never_fires(lab: Lab) -> None:
    """With a guard that works, the same machine lets decodes ride beside prompts, and first tokens come later."""
    at_hand(MIXED)
    both = compare(lab, MIXED, 1200, max_preemptions=4)["TTFT"]
    assert both.same() < 1.0
    assert both.apart()["p99"] > 0.0


def test_what_is_beside_what() -> None:
    both = Beside(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    assert both.worst() == 2
    assert both.same() == pytest.approx(2 / 3)
    assert both.apart()["mean"] == pytest.approx(6 / 7 - 1)
