"""The fold over a record: at every entry it agrees with what machines say of themselves, and it survives being kept."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clusters import Row, Written, rows, scenario_of, scenarios, workload_of, written

from emu.record import entries as e
from emu.record.start import MachineFacts, RunStarted
from emu.scenario.schema import Scenario
from emu.view.cluster import ClusterView
from emu.view.freeze import freeze
from emu.view.rows import Phase
from emu.view.snapshot import dump, load
from emu.view.state import ClusterState
from emu.view.words import Words


def started_of(found: Written, arrivals: list[Row]) -> RunStarted:
    return found.run.cluster.started(workload_of(arrivals))


def folded(started: RunStarted, entries: Iterable[e.Entry]) -> ClusterState:
    state = ClusterState(started)
    for entry in entries:
        state.take(entry)
    return state


def everyone_is_somewhere(view: ClusterView) -> None:
    """Each open request is where its phase says, and nowhere else."""
    for row in view.requests.values():
        queued = [m.number for m in view.machines if row.key in m.queue]
        prefilling = [m.number for m in view.machines if any(p.request == row.request for p in m.prefills)]
        decoding = [m.number for m in view.machines if row.request in m.decoding]
        where = {
            Phase.QUEUED: (queued, row.prefill_machine),
            Phase.PREFILLING: (prefilling, row.machine if row.first_token_ps < 0 else prefilling and prefilling[0]),
            Phase.DECODING: (decoding, row.decode_machine),
            Phase.PREEMPTED: (queued, row.decode_machine),
        }
        if row.phase in where:
            found, machine = where[row.phase]
            assert found == [machine], (row, found)
            assert len(queued) + len(prefilling) + len(decoding) == 1, row
        else:
            assert not queued + prefilling + decoding, row


@settings(max_examples=25)
@given(scenarios(), rows)
def test_every_moment_agrees_with_what_the_machines_say(scenario: Scenario, arrivals: list[Row]) -> None:
    found = written(scenario, arrivals)
    state = ClusterState(started_of(found, arrivals))
    for entry, after in pairwise((*found.entries, None)):
        assert entry is not None
        state.take(entry)
        if after is not None and after[0] == entry[0]:
            continue  # an instant is whole only behind its last entry
        view = freeze(state)
        everyone_is_somewhere(view)
        for machine in view.machines:
            parts = machine.memory[1:5]
            assert all(part >= 0 for part in parts)
            assert sum(parts) <= machine.memory.total
            assert machine.memory.pinned <= machine.memory.held
    view = freeze(state)
    assert view.over
    assert not view.requests
    assert not view.transfers
    assert all(machine.memory.free == machine.memory.total and not machine.loans for machine in view.machines)
    assert view.counts.arrived == len(arrivals)
    assert view.counts.open == 0


@settings(max_examples=15)
@given(scenarios(), rows, st.data())
def test_a_kept_state_goes_on_as_if_it_had_not_been_kept(
    scenario: Scenario, arrivals: list[Row], data: st.DataObject
) -> None:
    found = written(scenario, arrivals)
    started = started_of(found, arrivals)
    cut = data.draw(st.integers(0, len(found.entries)))
    before = folded(started, found.entries[:cut])
    after = load(started, dump(before))
    assert freeze(after) == freeze(before)
    for entry in found.entries[cut:]:
        after.take(entry)
    assert freeze(after) == freeze(folded(started, found.entries))


def test_tokens_are_counted_where_the_record_says_that_steps_ended() -> None:
    found = written(scenario_of(), [(0, 100, 5)])
    started = started_of(found, [(0, 100, 5)])
    delivered = []
    state = ClusterState(started)
    for entry in found.entries:
        state.take(entry)
        view = freeze(state)
        if 0 in view.requests:
            delivered.append(view.requests[0].delivered)
    assert delivered[0] == 0
    assert max(delivered) == 5
    assert delivered == sorted(delivered)
    assert freeze(state).ended[0].output_tokens == 5


@pytest.mark.parametrize("lost", [0, 2])
def test_an_attempt_that_the_router_gave_up_waits_with_the_router_again(lost: int) -> None:
    """Entries of recovery, by hand: the old attempt's blocks are orphans until its machine gives them back."""
    found = written(scenario_of(), [(0, 100, 5)])
    at_ps = 10**12
    state = folded(
        started_of(found, [(0, 100, 5)]),
        [
            e.Arrived(0, 0, 100, 64),
            e.Assigned(0, 0, lost, 0, 1, 1, 0, 0),
            e.Reserved(5, 1, 0, lost, 1, 7, 0),
            e.AttemptLost(at_ps, 0, lost, int(e.Reason.MACHINE_DEAD)),
            e.Assigned(at_ps, 0, lost + 1, 0, 1, 1, 0, 0),
        ],
    )
    view = freeze(state)
    assert view.requests[0].lost == 1
    assert view.requests[0].phase is Phase.ASSIGNED
    assert view.machines[1].memory.orphan == 7
    state.take(e.Released(at_ps + 5, 1, 0, lost, 1, 7, int(e.Reason.ABANDONED), -1))
    assert freeze(state).machines[1].memory.orphan == 0


def test_every_kind_of_entry_is_folded_and_has_words() -> None:
    facts = tuple(MachineFacts(name, "dgx-h100", "mixed", 8, 20, 1.0, 1.0) for name in ("mixed-0", "mixed-1"))
    started = RunStarted("made up", "model", 16, facts, 9, True)
    words = Words(started)
    for kind in e.KINDS:
        state = ClusterState(started)
        state.take(e.Arrived(0, 0, 16, 64))
        values: dict[str, object] = {"prefills": (), "joined": (), "left": ()}
        entry: e.Entry = kind._make(values.get(name, 0) for name in kind._fields)
        state.take(entry)
        freeze(state)
        assert words.line(entry)


def test_a_machine_that_left_is_away_and_not_down() -> None:
    facts = (MachineFacts("mixed-0", "dgx-h100", "mixed", 8, 20, 1.0, 1.0),)
    state = ClusterState(RunStarted("made up", "model", 16, facts, 9, True))
    state.take(e.MachineLeft(0, 0, 0))
    assert freeze(state).machines[0].doing == "away"
    state.take(e.MachineStarted(5, 0, 1))
    assert freeze(state).machines[0].doing == "idle"
    state.take(e.MachineCrashed(9, 0, 1))
    assert freeze(state).machines[0].doing == "down"
