"""When faults strike that hang on what happens: on a prefill, at half of a transfer, before a word of it was heard."""

from typing import Any

import pytest
from attrs import evolve
from small_clusters import Row, Written, scenario_of, written

from emu.record import entries as e
from emu.scenario.schema import Fault, Network, Transfer

S = 10**12
LOAD: list[Row] = [(at * 100, 900, 20) for at in range(6)]
SLOW = Network(bandwidth_factor=0.01)


def harmless(on: str, on_request: int = 3, at: str | None = None, after_s: float | None = None) -> Fault:
    """A fault that changes nothing, so that it can strike at any time."""
    when = {"on": on, "on_request": on_request, "at": at, "after_s": after_s}
    return Fault(kind="link_slow", machine="decode-0", factor=1.0, heal_after_s=0.1, **when)  # type: ignore[arg-type]


def struck_ps(found: Written) -> int:
    [strike] = found.of(e.FaultStruck)
    return int(strike.at_ps)


def of_request(found: Written, kind: type[e.Entry], request: int = 3) -> Any:
    [entry] = [x for x in found.of(kind) if x.request == request]
    return entry


@pytest.mark.parametrize("direction", ["put", "get"])
def test_half_of_a_transfer_is_when_half_of_its_bytes_have_left(direction: str) -> None:
    transfer = Transfer(direction=direction, mode="serialized")  # type: ignore[arg-type]
    scenario = scenario_of(transfer=transfer, network=SLOW, faults=(harmless("TransferStarted", at="half"),))
    found = written(scenario, [(0, 900, 20), (5000, 900, 20), (10_000, 900, 20), (15_000, 900, 20)])
    start, end = of_request(found, e.TransferStarted), of_request(found, e.Landed)
    latency_ps = round(scenario.network.data_latency_s * S)
    assert abs(2 * struck_ps(found) - start.at_ps - (end.at_ps - latency_ps)) <= 2


@pytest.mark.parametrize("factor", [1.0, 0.002])
def test_half_of_a_transfer_that_follows_a_prefill_has_half_of_the_layers_behind_it(factor: float) -> None:
    transfer, network = Transfer(mode="layer-wise"), Network(bandwidth_factor=factor)
    found = written(
        scenario_of(transfer=transfer, network=network, faults=(harmless("TransferStarted", at="half"),)),
        [(at * 5000, 900, 20) for at in range(4)],
    )
    start, end = of_request(found, e.TransferStarted), of_request(found, e.Landed)
    [step] = [x for x in found.of(e.StepFinished) if x.prompt_tokens and x.started_ps <= start.at_ps < x.at_ps]
    computed_ps = (step.started_ps + step.at_ps) // 2  # by then half of the layers are
    assert struck_ps(found) >= computed_ps - 1
    if factor == 1.0:  # the card is ten times as fast as the prefill: it waits for each layer
        assert struck_ps(found) - computed_ps < (step.at_ps - start.at_ps) // 10
    else:
        assert abs(2 * struck_ps(found) - start.at_ps - end.at_ps) < (end.at_ps - start.at_ps) // 50


def test_a_transfer_that_is_slowed_reaches_its_half_later_and_one_that_is_cut_off_never_does() -> None:
    load: list[Row] = [(at * 5000, 900, 20) for at in range(4)]
    transfer = Transfer(mode="serialized", max_flight_s=1.0)
    aimed = harmless("TransferStarted", at="half")
    plain = written(scenario_of(transfer=transfer, network=SLOW, faults=(aimed,)), load)
    start = of_request(plain, e.TransferStarted)
    soon_s = (struck_ps(plain) + start.at_ps) / 2 / S
    slow = Fault(kind="link_slow", machine="decode-0", factor=3.0, at_s=soon_s)
    slowed = written(scenario_of(transfer=transfer, network=SLOW, faults=(slow, aimed)), load)
    [strike] = [x for x in slowed.of(e.FaultStruck) if x.fault == 1]
    assert strike.at_ps - start.at_ps == pytest.approx(2 * (struck_ps(plain) - start.at_ps), rel=1e-6)
    cut = evolve(slow, kind="link_down", factor=None, heal_after_s=20.0, plane="data")
    again = written(scenario_of(transfer=transfer, network=SLOW, faults=(cut, aimed)), load).entries
    fates = [x for x in again if isinstance(x, e.LandedNowhere) and x.request == 3]
    assert fates, "it stood still for longer than a flight may last"
    assert not [x for x in again if isinstance(x, e.FaultStruck) and x.fault == 1 and x.at_ps <= fates[0].at_ps]


def test_a_fault_strikes_when_a_prompt_is_begun_and_when_it_is_done() -> None:
    for on, after_s in (("PrefillStarted", None), ("PrefillDone", None), ("PrefillStarted", 0.001)):
        found = written(scenario_of(faults=(harmless(on, after_s=after_s),)), LOAD)
        [step] = [x for x in found.of(e.StepStarted) if any(p.request == 3 for p in x.prefills)]
        [done] = [x for x in found.of(e.StepFinished) if x.prompt_tokens and x.started_ps == step.at_ps]
        expected_ps = step.at_ps if on == "PrefillStarted" else done.at_ps
        assert struck_ps(found) == expected_ps + round((after_s or 0.0) * S)


def test_there_is_time_between_a_prefill_and_word_of_it_and_between_a_commit_and_its_acknowledgement() -> None:
    found = written(scenario_of(faults=(harmless("PrefillDone"),)), LOAD)
    assert struck_ps(found) < of_request(found, e.Committed).signalled_ps
    found = written(scenario_of(faults=(harmless("Committed", after_s=0.0001),)), LOAD)
    [released] = [x for x in found.of(e.Released) if x.request == 3]
    assert of_request(found, e.Committed).at_ps < struck_ps(found) < released.at_ps


def test_two_faults_may_hang_on_one_half() -> None:
    found = written(scenario_of(network=SLOW, faults=(harmless("TransferStarted", at="half"),) * 2), LOAD)
    first, second = found.of(e.FaultStruck)
    assert first.at_ps == second.at_ps


def test_a_wakeup_is_when_a_machine_has_been_woken_and_has_done_nothing_yet() -> None:
    """The step under way has ended at that very instant, and nobody counts it."""
    wake = {"on": "Wakeup", "on_machine": "decode-0"}
    ends = [entry.at_ps for entry in written(scenario_of(), LOAD).of(e.StepFinished) if entry.machine == 1]
    crashes = [
        Fault(kind="crash", machine="decode-0", nth=nth, heal_after_s=0.2, **wake)  # type: ignore[arg-type]
        for nth in range(1, 12)
    ]
    found = [written(scenario_of(faults=(crash,)), LOAD) for crash in crashes]
    at_ps = [struck_ps(each) for each in found]
    assert at_ps == sorted(set(at_ps))
    cuts = [cut for each in found for cut in each.of(e.StepsCut) if cut.at_ps in ends]
    assert len(cuts) > 3
    for cut in cuts:
        done_ps = cut.steps * cut.first_step_ps + cut.growth_ps * cut.steps * (cut.steps - 1) // 2
        assert cut.started_ps + done_ps + cut.first_step_ps + cut.growth_ps * cut.steps == cut.at_ps
    quiet = Fault(kind="slow", machine="decode-0", factor=1.0, heal_after_s=0.1, nth=5, **wake)  # type: ignore[arg-type]
    assert written(scenario_of(faults=(quiet,)), LOAD).of(e.StepsCut) == []
