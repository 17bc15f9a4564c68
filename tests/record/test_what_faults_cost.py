"""What is summed up of faults: what they struck, how soon machines were declared dead, and what was done again."""

from emu.record import entries as e
from emu.record.recovery import Recovery

S = 10**12


def told(*entries: e.Entry) -> Recovery:
    fold = Recovery()
    for entry in entries:
        handler = fold.handlers.get(type(entry))
        if handler is not None:
            handler(entry)
    return fold


def piece(request: int, attempt: int) -> e.PrefillSlice:
    return e.PrefillSlice(request, attempt, 0, 100, 0, 1, 7)


def test_a_crash_from_its_strike_to_the_second_attempt() -> None:
    crash = int(e.FaultCode.CRASH)
    summary = told(
        e.StepStarted(0, 0, (piece(0, 0), piece(1, 0)), (), (), 0, 0, 0, 0, 50),
        e.FaultStruck(S, 0, crash, 0, -1, -1, 2),
        e.StepsCut(S, 0, 0, 0, 0, 200, 2 * S, 0, 0, 0, 0),
        e.MachineCrashed(S, 0, 0),
        e.MachineDead(3 * S, 0, 0, int(e.Reason.SILENT)),
        e.AttemptLost(3 * S, 0, 0, int(e.Reason.MACHINE_DEAD)),
        e.FaultHealed(5 * S, 0, crash, 0, -1),
        e.StepStarted(5 * S, 1, (piece(0, 1),), (), (), 0, 0, 0, 0, 50),
        e.StepFinished(6 * S, 1, 5 * S, 1, 0, 100, S, 0, 0, 0, 0),
        e.StepFinished(8 * S, 1, 6 * S, 2, 1, 0, S, 0, 0, 0, 0),
        e.RequestEnded(8 * S, 1, 0, 1, 0, 0, 2, 0, 1, 7, 0, 0, 0),
    ).summary()
    assert (summary["struck"], summary["struck_live"], summary["healed"]) == ({"crash": 1}, {"crash": 1}, 1)
    assert (summary["crashes"], summary["declared_dead"]) == (1, 1)
    assert summary["time_to_detect_s"]["max"] == 2.0
    assert summary["attempts_lost"] == {"machine_dead": 1}
    assert summary["prompt_tokens_again"] == 100
    assert summary["output_tokens_again"] == 1, "three were made, and the client had two"


def test_a_fault_that_heals_before_anybody_notices_has_no_time_to_detect() -> None:
    pause = int(e.FaultCode.PAUSE)
    summary = told(
        e.FaultStruck(S, 0, pause, 0, -1, -1, 0),
        e.FaultHealed(2 * S, 0, pause, 0, -1),
        e.MachineDead(9 * S, 0, 0, int(e.Reason.SILENT)),
        e.LandedNowhere(9 * S, 1, 0, 0, 0, 1, 0, 79, 1000),
        e.Resent(9 * S, 0, 1),
    ).summary()
    assert summary["time_to_detect_s"]["max"] is None
    assert (summary["struck_live"], summary["lost_bytes"], summary["resent"]) == ({}, 1000, 1)
