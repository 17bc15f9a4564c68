"""Machines die and messages are lost, and every request completes with the tokens that it would have had."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from attrs import frozen
from small_clusters import Keep, Row, scenario_of, workload_of

from emu.cluster import Cluster
from emu.execute import law_rules
from emu.laws.checker import Checker
from emu.record import entries as e
from emu.run import build
from emu.scenario.schema import Fault, Router, Transfer

LOAD: list[Row] = [(60 * i, 200 + 97 * (i % 13), 20 + 7 * (i % 11)) for i in range(30)]


@frozen
class Found:
    """What a run under faults came to."""

    entries: tuple[e.Entry, ...]
    broken: tuple[str, ...]

    def of(self, kind: type) -> list[e.Entry]:
        return [entry for entry in self.entries if type(entry) is kind]

    @property
    def answers(self) -> dict[int, int]:
        """The digest of each completed request's tokens."""
        return {
            entry.request: entry.output_digest
            for entry in self.entries
            if type(entry) is e.RequestEnded and entry.status == e.Status.COMPLETED
        }


def struck(*faults: Fault, rows: Sequence[Row] = tuple(LOAD), prefill: int = 2, decode: int = 2, **keys: Any) -> Found:
    keep, cluster = Keep(), Cluster.of(scenario_of(prefill, decode, faults=faults, **keys))
    workload = workload_of(rows)
    checker = Checker(cluster.started(workload), law_rules(cluster))
    build(cluster, workload, (*checker.laws, keep)).go()
    broken = (f"{verdict.law}: {verdict.what}" for verdict in checker.finish())
    return Found(tuple(keep.entries), tuple(broken))


@pytest.fixture(scope="module")
def plain() -> dict[int, int]:
    return struck().answers


@pytest.mark.parametrize("at_s", [0.37, 0.7, 1.2])
@pytest.mark.parametrize("machine", ["prefill-0", "decode-0"])
@pytest.mark.parametrize("kind", ["crash", "restart"])
def test_a_machine_dies_and_every_request_is_answered_as_if_it_had_not(
    kind: str, machine: str, at_s: float, plain: dict[int, int]
) -> None:
    found = struck(Fault(kind=kind, machine=machine, at_s=at_s))  # type: ignore[arg-type]
    assert found.of(e.AttemptLost), "it struck somebody"
    assert found.answers == plain
    assert found.broken == ()


@pytest.mark.parametrize("message", ["Assign", "Reserve", "Grant", "Signal", "Acknowledge", "Ended"])
@pytest.mark.parametrize("kind", ["lose", "duplicate", "reorder"])
def test_no_message_is_needed_once_and_only_once(kind: str, message: str, plain: dict[int, int]) -> None:
    found = struck(Fault(kind=kind, message=message, nth=4, by_s=None if kind == "lose" else 1.0))  # type: ignore[arg-type]
    assert found.of(e.FaultStruck)
    assert found.answers == plain
    assert found.broken == ()


def test_an_attempt_that_a_dead_prefill_machine_had_finished_goes_on() -> None:
    """Only what had not reached its decode machine is computed again."""
    found = struck(Fault(kind="crash", machine="prefill-0", at_s=1.2))
    committed = {entry.request for entry in found.of(e.Committed) if entry.at_ps < 1.2e12}  # type: ignore[union-attr]
    lost = {entry.request for entry in found.of(e.AttemptLost)}  # type: ignore[union-attr]
    assert lost
    assert not lost & committed


def test_after_so_many_attempts_a_request_has_failed() -> None:
    crashes = [Fault(kind="restart", machine="mixed-0", at_s=0.5 + 2 * n, startup_s=0.4) for n in range(3)]
    found = struck(
        *crashes,
        rows=[(0, 300, 2000)],
        prefill=0,
        decode=0,
        mixed=1,
        router=Router(max_attempts=3, retry_backoff_s=0.01, poison_limit=9),
    )
    [end] = found.of(e.RequestEnded)
    assert isinstance(end, e.RequestEnded)
    assert (end.machine, end.status, end.reason) == (-1, e.Status.FAILED, e.Reason.MAX_ATTEMPTS)
    assert len(found.of(e.Assigned)) == 3
    assert found.broken == ()


def test_requests_wait_for_a_machine_that_may_come_back() -> None:
    restart = Fault(kind="restart", machine="mixed-0", at_s=0.3, startup_s=5.0)
    found = struck(restart, rows=[(0, 300, 50), (2000, 300, 5)], prefill=0, decode=0, mixed=1)
    assert len(found.answers) == 2
    assert found.broken == ()


@pytest.mark.parametrize("after_s", [0.0003, 0.03, 0.09, 0.1, 0.2, 0.5])
def test_what_a_client_has_cancelled_gives_everything_back_in_any_phase(after_s: float, plain: dict[int, int]) -> None:
    found = struck(Fault(kind="cancel", request=7, at_s=0.42 + after_s))
    assert found.of(e.AttemptEnded)
    assert found.answers == {request: answer for request, answer in plain.items() if request != 7}
    assert found.broken == ()


@pytest.mark.parametrize("machine", ["prefill-0", "decode-0"])
def test_a_machine_that_drains_finishes_what_it_has_and_takes_nothing_new(machine: str, plain: dict[int, int]) -> None:
    found = struck(Fault(kind="drain", machine=machine, at_s=0.7))
    [left] = found.of(e.MachineLeft)
    assert isinstance(left, e.MachineLeft)
    assert not found.of(e.AttemptLost)
    assigned = [entry for entry in found.of(e.Assigned) if entry.at_ps > 0.7e12]
    assert not [entry for entry in assigned if left.machine in (entry.prefill_machine, entry.decode_machine)]  # type: ignore[union-attr]
    assert found.answers == plain
    assert found.broken == ()


@pytest.mark.parametrize("heal_after_s", [0.3, 1.0, 50.0])
@pytest.mark.parametrize("machine", ["prefill-0", "decode-0"])
@pytest.mark.parametrize("kind", ["pause", "hang"])
def test_a_process_that_stands_still_and_comes_back_changes_nothing(
    kind: str, machine: str, heal_after_s: float, plain: dict[int, int]
) -> None:
    found = struck(Fault(kind=kind, machine=machine, at_s=0.5, heal_after_s=heal_after_s))  # type: ignore[arg-type]
    assert bool(found.of(e.MachineDead)) is (kind == "pause" and heal_after_s > 0.5)
    assert len(found.of(e.MachineBack)) == len(found.of(e.MachineDead))
    assert found.answers == plain
    assert found.broken == ()


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("kind", ["post_fail", "corrupt", "late_write", "lose_completion"])
def test_what_does_not_arrive_as_it_was_sent_is_put_again(kind: str, count: int, plain: dict[int, int]) -> None:
    by_s = 3.0 if kind == "late_write" else None
    fault = Fault(kind=kind, machines=("prefill-0", "decode-0"), nth=2, count=count, by_s=by_s)  # type: ignore[arg-type]
    found = struck(fault)
    again = len(found.of(e.TransferStarted)) - len(LOAD)
    assert (again > 0) is (kind in ("post_fail", "corrupt"))
    assert bool(found.of(e.AttemptLost)) is (again > 3), "so often, and then it is tried elsewhere"
    assert found.answers == plain
    assert found.broken == ()


@pytest.mark.parametrize("direction", ["put", "get"])
def test_only_the_layers_that_came_wrong_are_sent_again(
    direction: Literal["put", "get"], plain: dict[int, int]
) -> None:
    found = struck(Fault(kind="corrupt", nth=2, count=2), transfer=Transfer(direction=direction))
    sent: dict[int, list[tuple[int, int]]] = {}
    for entry in found.entries:
        if isinstance(entry, e.TransferStarted):
            sent.setdefault(entry.request, []).append((entry.first_layer, entry.last_layer))
    assert sent.pop(1) == [(0, 79), (30, 39), (30, 39)], "the group of layer 39, and of layer 34 when it is spoilt too"
    assert set(map(tuple, sent.values())) == {((0, 79),)}
    assert found.answers == plain
    assert found.broken == ()


@pytest.mark.parametrize("direction", ["put", "get"])
def test_of_a_put_that_fails_only_the_layers_go_again_that_had_not_arrived(
    direction: Literal["put", "get"], plain: dict[int, int]
) -> None:
    ends = ("prefill-0", "decode-0")
    cut = Fault(kind="link_down", machines=ends, plane="data", on="TransferStarted", at="half", heal_after_s=1.5)
    found = struck(cut, transfer=Transfer(direction=direction, mode="serialized", max_flight_s=1.0))
    sent: dict[int, list[e.Entry]] = {}
    for entry in found.entries:
        if isinstance(entry, e.TransferStarted | e.Landed | e.LandedNowhere):
            sent.setdefault(entry.request, []).append(entry)
    first = next(iter(sent.values()))
    parts = [(type(entry), entry.first_layer, entry.last_layer) for entry in first]  # type: ignore[union-attr]
    assert parts == [
        (e.TransferStarted, 0, 79),
        (e.Landed, 0, 39),
        (e.LandedNowhere, 40, 79),
        (e.TransferStarted, 40, 79),
        (e.Landed, 40, 79),
    ]
    assert found.answers == plain
    assert found.broken == ()


@pytest.mark.parametrize("request_id", [0, 7, 20])  # 7 is alone in both steps
def test_a_request_that_kills_two_machines_is_found_out_and_nobody_else_pays(
    request_id: int, plain: dict[int, int]
) -> None:
    found = struck(Fault(kind="poison", request=request_id, startup_s=1.0))
    [failed] = [end for end in found.of(e.RequestEnded) if end.status != e.Status.COMPLETED]  # type: ignore[union-attr]
    assert isinstance(failed, e.RequestEnded)
    assert (failed.request, failed.reason) == (request_id, e.Reason.POISON)
    assert len(found.of(e.MachineCrashed)) == 2
    assert found.answers == {request: answer for request, answer in plain.items() if request != request_id}
    assert found.broken == ()


GET = Transfer(direction="get")
STRUCK_READING = (
    *(Fault(kind="crash", machine=machine, at_s=at_s) for machine in ("prefill-0", "decode-0") for at_s in (0.4, 0.7)),
    Fault(kind="restart", machine="prefill-0", at_s=0.7),
    Fault(kind="pause", machine="decode-0", at_s=0.5, heal_after_s=50.0),
    Fault(kind="pause", machine="prefill-0", at_s=0.5, heal_after_s=50.0),
    Fault(kind="link_down", machine="decode-0", at_s=0.7, heal_after_s=1.0, plane="control"),
    *(Fault(kind="lose", message=message, nth=4) for message in ("Reserve", "Offer", "Signal", "Acknowledge")),
    *(Fault(kind="duplicate", message=message, nth=4, by_s=1.0) for message in ("Offer", "Signal", "Acknowledge")),
    Fault(kind="post_fail", machines=("prefill-0", "decode-0"), nth=2, count=12),
    Fault(kind="corrupt", machines=("prefill-0", "decode-0"), nth=2, count=12),
    Fault(kind="drain", machine="decode-0", at_s=0.7),
)


@pytest.mark.parametrize("fault", STRUCK_READING, ids=lambda fault: f"{fault.kind}-{fault.message or fault.machine}")
def test_caches_that_are_read_survive_what_those_that_are_put_do(fault: Fault, plain: dict[int, int]) -> None:
    found = struck(fault, transfer=GET)
    assert found.of(e.FaultStruck)
    assert found.answers == plain
    assert found.broken == ()


def test_nothing_is_read_before_its_prefill_has_ended() -> None:
    running: dict[int, list[int]] = {}
    computed: set[int] = set()
    reads = 0
    for entry in struck(transfer=GET).entries:
        if isinstance(entry, e.StepStarted):
            running[entry.machine] = [piece.request for piece in entry.prefills]
        elif isinstance(entry, e.StepFinished):
            computed.update(running[entry.machine])
        elif isinstance(entry, e.TransferStarted):
            reads += 1
            assert entry.request in computed
            assert not entry.follows
    assert reads == len(LOAD)
