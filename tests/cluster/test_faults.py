"""What faults do to the emulated world, exactly, and that a world which could have faults is the one which has none."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from small_clusters import PS_PER_MS, Keep, Row, Written, rows, scenario_of, scenarios, workload_of, written

from emu.cluster import Cluster
from emu.control.messages import LoadReport
from emu.node.checksums import Checksums
from emu.record import entries as e
from emu.run import build
from emu.scenario.schema import Delay, Fault, RunLimits, Scenario

S = 10**12
LOAD: list[Row] = [(at * 100, 900, 60) for at in range(20)]


def struck(faults: Sequence[Fault], load: Sequence[Row] = LOAD, **keys: Any) -> Written:
    return written(scenario_of(faults=tuple(faults), **keys), load)


def injectable(scenario: Scenario, load: Sequence[Row], *faults: tuple[Fault, int]) -> Written:
    """The run of a scenario in which an operator causes these faults."""
    keep = Keep()
    run = build(Cluster.of(scenario), workload_of(load), (keep,), injectable=True)
    for fault, at_ps in faults:
        run.inject(fault, at_ps)
    run.go()
    return Written(run, run.log.digest(), tuple(keep.entries))


@given(scenarios(), rows)
@settings(max_examples=40, deadline=None)
def test_a_world_that_could_have_faults_writes_the_same_record(scenario: Scenario, load: list[Row]) -> None:
    assert injectable(scenario, load).digest == written(scenario, load).digest


def test_an_injected_fault_is_the_planned_one() -> None:
    fault = Fault(kind="restart", machine="decode-0", at_s=0.7, startup_s=1.0)
    planned = struck([fault])
    steered = scenario_of(run=RunLimits(faults_may_come=True))  # as every run that an operator may strike
    assert injectable(steered, LOAD, (fault, 700 * PS_PER_MS)).digest == planned.digest
    assert planned.of(e.MachineStarted) == [e.MachineStarted(1700 * PS_PER_MS, 1, 1)]


def test_nothing_can_be_injected_where_none_was_expected_or_in_the_past() -> None:
    run = build(Cluster.of(scenario_of()), workload_of(LOAD))
    with pytest.raises(ValueError, match="no fault can be injected"):
        run.inject(Fault(kind="crash", machine="decode-0"), S)


@pytest.mark.parametrize("max_steps", [0, 1])
def test_a_crashed_machine_does_nothing_until_it_starts_again(max_steps: int) -> None:
    scheduler = scenario_of().scheduler.__class__(max_steps=max_steps)
    found = struck([Fault(kind="restart", machine="decode-0", at_s=0.75, startup_s=0.5)], scheduler=scheduler)
    [crash], [start] = found.of(e.MachineCrashed), found.of(e.MachineStarted)
    assert (crash.at_ps, start.at_ps) == (750 * PS_PER_MS, 1250 * PS_PER_MS)
    for entry in found.entries:
        if crash.at_ps < entry[0] < start.at_ps and type(entry) is not e.FaultHealed:
            assert getattr(entry, "machine", 0) != 1, entry
    [cut] = found.of(e.StepsCut)
    assert cut.at_ps == crash.at_ps
    ended_ps = cut.started_ps + cut.steps * cut.first_step_ps + cut.growth_ps * cut.steps * (cut.steps - 1) // 2
    assert ended_ps < crash.at_ps <= ended_ps + cut.first_step_ps + cut.steps * cut.growth_ps


def test_leaping_and_stepping_write_the_same_record_under_faults() -> None:
    faults = [
        Fault(kind="restart", machine="decode-0", at_s=0.75, startup_s=0.5),
        Fault(kind="slow", machine="decode-0", at_s=0.3, factor=2.5, heal_after_s=0.1),
        Fault(kind="pause", machine="prefill-0", at_s=0.5, heal_after_s=0.2),
        Fault(kind="hang", machine="decode-0", at_s=0.5, heal_after_s=0.1),
    ]
    scheduler = scenario_of().scheduler
    stepped = struck(faults, scheduler=scheduler.__class__(max_steps=1))
    leapt = struck(faults, scheduler=scheduler)
    assert stepped.entries == leapt.entries
    assert stepped.run.clock.wakeups > leapt.run.clock.wakeups


def test_puts_that_were_posted_to_a_machine_that_crashed_land_nowhere() -> None:
    crash = Fault(kind="crash", machine="decode-0", on="TransferStarted", nth=3)
    found = struck([crash])
    third = found.of(e.TransferStarted)[2]
    nowhere = [entry for entry in found.of(e.LandedNowhere) if entry.request == third.request]
    assert nowhere, "it is posted again, so often, until the router says that nobody is there"
    assert {entry.bytes for entry in nowhere} == {third.bytes}
    assert not [entry for entry in found.of(e.Landed) if entry.at_ps >= third.at_ps]


def test_what_a_crashed_machine_had_computed_still_lands_and_no_more() -> None:
    crash = Fault(kind="crash", machine="prefill-0", on="TransferStarted", nth=3, after_s=0.02)
    found = struck([crash])
    third = found.of(e.TransferStarted)[2]
    [landed] = [entry for entry in found.of(e.Landed) if entry.request == third.request]
    [nowhere] = [entry for entry in found.of(e.LandedNowhere) if entry.request == third.request]
    assert third.first_layer == landed.first_layer
    assert landed.last_layer + 1 == nowhere.first_layer <= nowhere.last_layer == third.last_layer
    assert landed.bytes + nowhere.bytes == third.bytes
    assert landed.at_ps >= found.of(e.MachineCrashed)[0].at_ps


@pytest.mark.parametrize("kind", ["pause", "hang"])
def test_a_process_that_stops_takes_no_new_step_and_goes_on_as_it_was(kind: Any) -> None:
    plain = struck([])
    found = struck([Fault(kind=kind, machine="decode-0", at_s=0.5, heal_after_s=0.4)])
    started = [entry.at_ps for entry in found.of(e.StepStarted) if entry.machine == 1]
    assert not [at_ps for at_ps in started if 500 * PS_PER_MS <= at_ps < 900 * PS_PER_MS]
    assert found.of(e.MachineCrashed) == []
    ends = {entry.request: entry.output_digest for entry in found.of(e.RequestEnded)}
    assert ends == {entry.request: entry.output_digest for entry in plain.of(e.RequestEnded)}


def test_transfers_that_a_process_has_posted_go_on_while_it_is_stopped() -> None:
    pause = Fault(kind="pause", machine="prefill-0", on="TransferStarted", nth=3, heal_after_s=5.0)
    found = struck([pause])
    posted = found.of(e.TransferStarted)[2]
    [landed] = [entry for entry in found.of(e.Landed) if entry.request == posted.request]
    assert posted.at_ps < landed.at_ps < posted.at_ps + S
    assert not [entry for entry in found.of(e.StepStarted) if entry.machine == 0 and 0 < entry.at_ps - posted.at_ps < S]


def test_a_slow_machine_takes_so_much_longer_from_the_next_step_on() -> None:
    load: list[Row] = [(0, 100, 200)]
    plain = struck([], load)
    found = struck([Fault(kind="slow", machine="decode-0", at_s=1.0, factor=3.0)], load)
    [usual] = [entry for entry in plain.of(e.StepFinished) if entry.machine == 1]
    before, after = [entry for entry in found.of(e.StepFinished) if entry.machine == 1]
    assert before.steps + after.steps == usual.steps
    assert before.first_step_ps == usual.first_step_ps
    expected_ps = 3 * (usual.first_step_ps + usual.growth_ps * before.steps)
    assert abs(after.first_step_ps - expected_ps) <= 3 * 3


@pytest.mark.parametrize(("one_way", "late"), [(False, True), (True, False)])
def test_a_cut_data_plane_holds_transfers_up_until_it_heals(one_way: bool, late: bool) -> None:
    cut = Fault(kind="link_down", machine="decode-0", at_s=0.5, heal_after_s=1.0, plane="data", one_way=one_way)
    landed = [entry.at_ps for entry in struck([cut]).of(e.Landed) if 500 * PS_PER_MS < entry.at_ps < 1500 * PS_PER_MS]
    assert bool(landed) is not late


def test_a_cut_control_plane_carries_no_message() -> None:
    cut = Fault(kind="link_down", machine="decode-0", at_s=0.5, heal_after_s=0.3, plane="control")
    reserved = [entry.at_ps for entry in struck([cut]).of(e.Reserved)]
    assert not [at_ps for at_ps in reserved if 501 * PS_PER_MS < at_ps < 800 * PS_PER_MS]
    assert [at_ps for at_ps in reserved if at_ps > 800 * PS_PER_MS]


def test_a_put_that_stands_still_for_longer_than_a_flight_may_last_fails() -> None:
    cut = Fault(kind="link_down", machine="decode-0", at_s=0.5, plane="data")
    found = struck([cut], transfer=scenario_of().transfer.__class__(max_flight_s=2.0))
    assert found.of(e.LandedNowhere)
    for entry in found.of(e.LandedNowhere):
        assert entry.at_ps >= 2500 * PS_PER_MS
    moved = sum(entry.bytes for kind in (e.Landed, e.LandedNowhere) for entry in found.of(kind))
    assert moved == sum(entry.bytes for entry in found.of(e.TransferStarted))


def grants(*faults: Fault, delays: tuple[Delay, ...] = ()) -> tuple[list[int], Written]:
    """When each request's grant came to the prefill machine."""
    found = struck(faults, [(at * 200, 700, 3) for at in range(5)], delays=delays)
    return [entry.request for entry in found.of(e.Granted)], found


def test_the_messages_that_a_fault_names_are_lost_doubled_late_or_overtaken() -> None:
    plain, _ = grants()
    assert plain == [0, 1, 2, 3, 4]
    lost, found = grants(Fault(kind="lose", message="Grant", nth=2, count=2))
    assert lost[:3] == [0, 3, 4]
    assert sorted(lost) == plain, "and the others again"
    assert [(entry.request, entry.machine, entry.peer, entry.live) for entry in found.of(e.FaultStruck)] == [
        (1, 1, 0, 1),
        (2, 1, 0, 1),
    ]
    doubled, _ = grants(Fault(kind="duplicate", message="Grant", nth=2, by_s=0.001))
    assert doubled == [0, 1, 1, 2, 3, 4]
    overtaken, _ = grants(Fault(kind="reorder", message="Grant", nth=2))
    assert overtaken == [0, 2, 1, 3, 4]
    late, _ = grants(Fault(kind="delay", message="Grant", nth=2, by_s=0.25))
    assert late == [0, 2, 1, 3, 4]
    assert grants(delays=(Delay(nth=2, kind="Grant", by_s=0.25),))[0] == late
    between, _ = grants(Fault(kind="lose", message="Grant", machines=("prefill-0", "decode-0")))
    assert between == plain, "grants go the other way"


def test_the_router_is_told_of_silence_after_the_time_to_detect_and_not_before() -> None:
    scenario = scenario_of(faults=(Fault(kind="crash", machine="decode-0", at_s=0.77),))
    run = build(Cluster.of(scenario), workload_of(LOAD))
    told: list[int] = []
    deliver = run.router.deliver

    def note(event: Any) -> None:
        if type(event).__name__ == "Silent":
            told.append(run.clock.now_ps)
        deliver(event)

    run.router.deliver = note  # type: ignore[method-assign]
    run.go()
    # the last report was taken at 0.75 s, since the two machines' ticks are spread over the period of 0.1 s
    expected_s = 0.75 + scenario.network.control_latency_s + scenario.router.detect_after_s
    assert told == [round(expected_s * S)]


def puts(*faults: Fault) -> tuple[Written, Written]:
    """The same load without and with faults of puts."""
    load: list[Row] = [(at * 300, 700, 20) for at in range(4)]
    return struck([], load), struck(faults, load)


def test_a_late_write_lands_that_much_later_and_its_signal_behind_it() -> None:
    plain, late = puts(Fault(kind="late_write", nth=2, by_s=0.5))
    usual, held = plain.of(e.Landed)[1], next(entry for entry in late.of(e.Landed) if entry.request == 1)
    assert held.at_ps == usual.at_ps + S // 2
    [commit] = [entry for entry in late.of(e.Committed) if entry.request == 1]
    assert commit.signalled_ps > held.at_ps


def test_a_post_that_fails_lands_nowhere_and_is_followed_by_no_signal() -> None:
    plain, failed = puts(Fault(kind="post_fail", nth=2))
    [nowhere] = failed.of(e.LandedNowhere)
    assert (nowhere.request, nowhere.bytes) == (1, plain.of(e.Landed)[1].bytes)
    [strike] = failed.of(e.FaultStruck)
    assert (strike.machine, strike.peer, strike.request, strike.live) == (0, 1, 1, 1)


def test_corruption_is_loud_where_nobody_compares_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checksums, "checked", lambda _, message: message)
    plain, corrupt = puts(Fault(kind="corrupt", nth=2))
    digests = [{entry.request: entry.output_digest for entry in found.of(e.RequestEnded)} for found in (plain, corrupt)]
    changed = {request for request in digests[0] if digests[0][request] != digests[1].get(request)}
    assert changed == {1}


def test_a_machine_with_a_card_less_sends_slower() -> None:
    keys = {"network": scenario_of().network.__class__(bandwidth_factor=0.01)}
    load: list[Row] = [(0, 2000, 2)]
    plain, found = struck([], load, **keys), struck([Fault(kind="nic_down", machine="decode-0", at_s=0)], load, **keys)
    usual_ps, slow_ps = (each.of(e.Landed)[0].at_ps - each.of(e.TransferStarted)[0].at_ps for each in (plain, found))
    assert 1.1 < slow_ps / usual_ps < 8 / 7 + 0.01


def test_a_machine_that_joins_was_not_there_before() -> None:
    found = struck([Fault(kind="join", machine="decode-1", at_s=1.0)], decode=2)
    assert found.of(e.MachineLeft) == [e.MachineLeft(0, 2, 0)]
    assert found.of(e.MachineStarted) == [e.MachineStarted(S, 2, 1)]
    deeds = [entry for entry in found.entries if getattr(entry, "machine", -1) == 2 and 0 < entry[0] < S]
    assert deeds == []


def test_whoever_runs_a_poisoned_request_crashes() -> None:
    found = struck([Fault(kind="poison", request=2, startup_s=1.0)])
    started = next(entry for entry in found.of(e.StepStarted) if 2 in [piece.request for piece in entry.prefills])
    assert found.of(e.MachineCrashed)[0] == e.MachineCrashed(started.at_ps, started.machine, 0)


def test_stale_reports_say_what_was_true() -> None:
    scenario = scenario_of(faults=(Fault(kind="stale_report", machine="prefill-0", at_s=0.5, heal_after_s=0.5),))
    run = build(Cluster.of(scenario), workload_of(LOAD))
    taken: list[tuple[int, int]] = []
    channel = run.router._reports

    class Noted:
        """The channel of reports, and what came over it."""

        def collect(self) -> list[LoadReport]:
            reports = list(channel.collect())
            taken.extend((run.clock.now_ps, report.taken_ps) for report in reports if report.machine == 0)
            return reports

    run.router._reports = cast(Any, Noted())
    run.go()
    frozen = {stamp for at_ps, stamp in taken if 650 * PS_PER_MS < at_ps < S}
    assert frozen == {500 * PS_PER_MS}
    assert taken[-1][1] > S


def clients(**keys: Any) -> Written:
    """Two requests at once, for a router that takes one."""
    scenario = scenario_of()
    workload = scenario.workload.__class__(synthetic="azure-conv", rate_rps=1.0, duration_s=1.0, **keys)
    router = scenario.router.__class__(queue_limit_requests=1)
    return struck([], [(0, 500, 20), (0, 500, 20)], workload=workload, router=router)


def test_a_client_that_was_refused_asks_again_after_a_pause_and_gives_up_in_the_end() -> None:
    once = clients()
    assert sorted(entry.status for entry in once.of(e.RequestEnded)) == [e.Status.COMPLETED, e.Status.REJECTED]
    again = clients(client_retries=3, retry_backoff_s=0.2)
    assert [entry.at_ps // PS_PER_MS for entry in again.of(e.Resent)] == [200, 600, 1400]
    assert {entry.status for entry in again.of(e.RequestEnded)} == {e.Status.COMPLETED}
    impatient = clients(client_retries=1, retry_backoff_s=0.01)
    assert sorted(entry.status for entry in impatient.of(e.RequestEnded)) == [e.Status.COMPLETED, e.Status.REJECTED]
