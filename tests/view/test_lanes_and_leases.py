"""Caches on their way, their data and their messages apart; and how long a machine still keeps blocks for a peer."""

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clusters import PS_PER_MS, Row, scenario_of, workload_of, written

from emu.record import entries as e
from emu.record.start import MachineFacts, RunStarted
from emu.scenario.schema import Fault, Router, Transfer
from emu.view.cluster import ClusterView
from emu.view.freeze import freeze
from emu.view.incident import findings
from emu.view.lanes import Step, control_steps, lanes, layers_words
from emu.view.leases import Lease, lease_of, lease_words
from emu.view.state import ClusterState
from emu.view.survey import Limits, Survey

S = 10**12
STARTED = RunStarted(
    "made up",
    "model",
    16,
    tuple(
        MachineFacts(name, "dgx-h100", pool, 8, 99, 1.0, 1.0)
        for name, pool in (("prefill-0", "prefill"), ("decode-0", "decode"))
    ),
    9,
    True,
    30 * S,
    5 * S,
)


def computed(request: int, at_s: int) -> list[e.Entry]:
    """Prefilled from `at_s` on, for a second, and not put yet."""
    at_ps = at_s * S
    piece = e.PrefillSlice(request, 0, 0, 160, 0, 1, 10)
    return [
        e.Arrived(at_ps, request, 160, 64),
        e.Assigned(at_ps, request, 0, 0, 1, 1, 0, 99),
        e.Queued(at_ps, 0, request, 0, at_ps),
        e.StepStarted(at_ps, 0, (piece,), (), (), 0, 0, 0, 0, 89),
        e.StepFinished(at_ps + S, 0, at_ps, 1, 0, 160, S, 0, 0, 0, 0),
    ]


def put(request: int, at_s: int) -> list[e.Entry]:
    return [
        e.Reserved(at_s * S, 1, request, 0, 1, 11, 0),
        e.Granted(at_s * S, 0, request, 0, 0),
        e.TransferStarted(at_s * S, 0, 1, request, 0, 0, 79, 8_000_000, 0),
    ]


def view_of(entries: list[e.Entry], at_s: float) -> ClusterView:
    state = ClusterState(STARTED)
    for entry in entries:
        state.take(entry)
    return freeze(state, round(at_s * S))


def steps(view: ClusterView) -> list[tuple[int, str, tuple[int, ...]]]:
    return [
        (lane.request, layers_words(lane), tuple(int(step) for _, step in control_steps(lane))) for lane in lanes(view)
    ]


def test_a_lane_goes_from_its_grant_to_its_acknowledgement() -> None:
    entries = computed(1, 0)
    assert steps(view_of(entries, 1.0)) == [(1, "0/0", (Step.NOW, 0, 0))]
    entries += put(1, 2)
    assert steps(view_of(entries, 2.0)) == [(1, "0/80", (Step.DONE, 0, 0))]
    entries.append(e.Landed(4 * S, 1, 1, 0, 1, 0, 79, 11, 8_000_000))
    assert steps(view_of(entries, 4.0)) == [(1, "80/80", (Step.DONE, Step.NOW, 0))]
    entries.append(e.Committed(5 * S, 1, 1, 0, 80, 1, 11, 4 * S))
    assert steps(view_of(entries, 5.5)) == []  # nobody waits for it yet
    assert steps(view_of(entries, 6.5)) == [(1, "80/80", (Step.DONE, Step.DONE, Step.NOW))]
    entries.append(e.Released(7 * S, 0, 1, 0, 1, 10, int(e.Reason.ACKNOWLEDGED), 7 * S))
    assert steps(view_of(entries, 7.5)) == []


def test_layers_are_reckoned_by_the_last_pace_and_never_where_a_put_is_late() -> None:
    """The first put took two seconds: a second later half of the next is likely there; after seven nothing is."""
    entries = [
        *computed(1, 0),
        *put(1, 2),
        e.Landed(4 * S, 1, 1, 0, 1, 0, 79, 11, 8_000_000),
        *computed(2, 4),
        *put(2, 6),
    ]
    half, late = (lanes(view_of(entries, at_s))[-1] for at_s in (7.0, 13.0))
    assert (layers_words(half), half.late) == ("~40/80", 0.5)
    assert (layers_words(late), late.late) == ("0/80", 3.5)


def test_nothing_is_reckoned_of_a_put_whose_link_is_cut() -> None:
    moving = [
        *computed(1, 0),
        *put(1, 2),
        e.Landed(4 * S, 1, 1, 0, 1, 0, 79, 11, 8_000_000),
        *computed(2, 4),
        *put(2, 6),
    ]
    cut = e.FaultStruck(6 * S, 0, int(e.FaultCode.LINK_DOWN), 0, 1, -1, 1)
    assert layers_words(lanes(view_of(moving, 7.0))[-1]) == "~40/80"
    assert layers_words(lanes(view_of([*moving, cut], 7.0))[-1]) == "0/80"


def leases(view: ClusterView) -> list[tuple[str, str]]:
    found = []
    for machine in view.machines:
        for loan in machine.loans:
            lease = lease_of(view, machine, loan)
            assert lease is not None
            found.append((machine.name, lease_words(view, lease)))
    return found


def test_a_lease_is_known_to_a_heartbeat() -> None:
    entries = [*computed(1, 0), *put(1, 2)]
    assert leases(view_of(entries, 3.0)) == [
        ("prefill-0", "lease renewed, 28.0 to 30.0 s left"),
        ("decode-0", "lease renewed, 29.0 to 30.0 s left"),
    ]
    assert leases(view_of(entries, 20.0))[1] == ("decode-0", "lease renewed, 25.0 to 30.0 s left")


def test_a_peer_that_is_down_renews_nothing() -> None:
    entries: list[e.Entry] = [*computed(1, 0), *put(1, 2), e.MachineCrashed(10 * S, 0, 0)]
    assert leases(view_of(entries, 12.0)) == [("decode-0", "lease ends in 23.0 to 28.0 s")]
    entries.append(e.MachineStarted(13 * S, 0, 1))
    assert leases(view_of(entries, 14.0)) == [("decode-0", "lease renewed, 21.0 to 30.0 s left")]
    assert leases(view_of(entries, 19.0)) == [("decode-0", "lease renewed, 25.0 to 30.0 s left")]


def test_a_lease_that_nobody_renews_is_a_finding_once_a_renewal_is_due() -> None:
    entries: list[e.Entry] = [*computed(1, 0), *put(1, 2), e.MachineCrashed(10 * S, 0, 0)]
    kinds = [[each.kind for each in findings(view_of(entries, at_s), Survey(Limits()))] for at_s in (12.0, 16.0)]
    assert "lease" not in kinds[0]
    assert "lease" in kinds[1]
    [found] = [each for each in findings(view_of(entries, 16.0), Survey(Limits())) if each.kind == "lease"]
    assert found.words == "nobody renews the lease of 11 blocks on decode-0 for r1: lease ends in 19.0 to 24.0 s"
    assert (found.since_ps, found.request, found.machine) == (15 * S, 1, 1)


def test_a_link_that_is_cut_may_be_cut_for_messages_too() -> None:
    entries: list[e.Entry] = [
        *computed(1, 0),
        *put(1, 2),
        e.FaultStruck(10 * S, 0, int(e.FaultCode.LINK_DOWN), 0, 1, -1, 1),
    ]
    assert leases(view_of(entries, 12.0))[1] == ("decode-0", "lease ends in 23.0 to 30.0 s")


@given(st.sampled_from(("crash", "pause", "link_down")), st.integers(0, 250))
@settings(max_examples=12, deadline=None)
def test_a_lease_ends_when_the_view_said_it_would(kind: str, after_ms: int) -> None:
    """The router hears of an expired lease at the next sweep, which is a heartbeat later at the most."""
    load: list[Row] = [(at * 40, 700, 40) for at in range(8)]
    ends = {"machines": ("prefill-0", "decode-0")} if kind == "link_down" else {"machine": "prefill-0"}
    fault = Fault(kind=kind, at_s=0.1 + after_ms / 1000, heal_after_s=12.0, **ends)  # type: ignore[arg-type]
    transfer, patient = Transfer(lease_s=4.0, heartbeat_s=1.0), Router(detect_after_s=100.0)
    found = written(scenario_of(faults=(fault,), transfer=transfer, router=patient), load)
    state = ClusterState(found.run.cluster.started(workload_of(load)))
    said: dict[tuple[int, int], Lease] = {}
    expired = 0
    for entry in found.entries:
        if isinstance(entry, e.AttemptLost) and entry.reason == int(e.Reason.LEASE_EXPIRED):
            lease = said[entry.request, entry.attempt]
            assert lease.least_ps <= entry.at_ps <= lease.most_ps + S + PS_PER_MS
            expired += 1
        state.take(entry)
        view = freeze(state)
        for loan in view.machines[1].loans:
            held = lease_of(view, view.machines[1], loan)
            if held is not None:
                said[loan.request, loan.attempt] = held
    assert expired


def test_an_old_record_says_nothing_of_leases() -> None:
    state = ClusterState(evolve(STARTED, lease_ps=0, heartbeat_ps=0))
    for entry in [*computed(1, 0), *put(1, 2)]:
        state.take(entry)
    view = freeze(state, 3 * S)
    assert lease_of(view, view.machines[1], view.machines[1].loans[0]) is None
