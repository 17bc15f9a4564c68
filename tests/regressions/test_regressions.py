"""What once failed under faults: each scenario completes every request, with the right answers, under all laws.

No loan is orphaned for longer than a lease and a sweep, and no request kills more machines than it may.
"""

from pathlib import Path

import pytest

from emu.record.entries import FaultCode
from emu.reliability.orphans import bound_s
from emu.reliability.trial import Trials
from emu.scenario.load import load

FOLDER = Path(__file__).parents[2] / "scenarios" / "regressions"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_what_once_failed_does_not(path: Path) -> None:
    trial = Trials().run(load(path))
    assert any(strike.live for strike in trial.struck) or not trial.scenario.faults
    assert trial.clean, (trial.broken, trial.lost, trial.corrupted)
    assert trial.longest_orphan_s <= bound_s(trial.scenario)
    killed = sum(strike.kind == FaultCode.POISON for strike in trial.struck)
    assert killed in (0, trial.scenario.router.poison_limit)
