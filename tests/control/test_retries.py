"""What holds of retries: bounded, later each time, and nobody waits for a machine for ever."""

from __future__ import annotations

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from emu.control.commands import Command, Fail
from emu.control.docket import Docket
from emu.control.messages import Submit
from emu.control.recovery_rules import RecoveryRules
from emu.control.request import Request
from emu.control.retries import Retries
from emu.control.router_events import NOWHERE, Fenced, Open

S = 10**12
SUBMIT = Submit(Request(5, 100, 20, 0), 0)


@define
class Cluster:
    """A router that has machines or has none, and says when it was asked for some."""

    rules: RecoveryRules
    has_machines: bool = True
    placed: list[tuple[int, int]] = field(factory=list)  # (attempt, when)
    retries: Retries = field(init=False)

    def __attrs_post_init__(self) -> None:
        docket = Docket(self.rules.poison_limit, self.rules.suspects_apart_ps)
        self.retries = Retries(self.rules, {5: Open(SUBMIT, 0, 0, 1, 0)}, self.place, docket, 0)

    def place(self, submit: Submit, attempt: int, now: int) -> tuple[Command, ...]:
        if not self.has_machines:
            return ()
        self.placed.append((attempt, now))
        self.retries.open[5] = Open(submit, attempt, 0, 1, now)
        return (Fail(submit.request, attempt, "stands for what places it"),)

    def lose(self, now: int, delivered: int = 0) -> tuple[Command, ...]:
        """The attempt that goes on is given up, and the client takes no more of it."""
        entry = self.retries.open[5]
        self.retries.open[5] = entry._replace(prefill=NOWHERE, decode=NOWHERE)
        return self.retries.after(Fenced(5, entry.attempt, delivered), now)

    def run_to_next(self) -> int:
        """To the instant at which something is due, and do it."""
        due_ps = self.retries.due_ps
        assert due_ps is not None
        self.retries.due(due_ps)
        return due_ps


@given(most=st.integers(1, 6), backoff_ps=st.integers(1, S))
def test_each_attempt_waits_twice_as_long_and_there_are_no_more_than_allowed(most: int, backoff_ps: int) -> None:
    cluster = Cluster(RecoveryRules(max_attempts=most, retry_backoff_ps=backoff_ps))
    now, waited = 0, []
    for _ in range(most - 1):
        assert cluster.lose(now) == ()
        due_ps = cluster.run_to_next()
        waited.append(due_ps - now)
        now = due_ps
    assert waited == [backoff_ps << tried for tried in range(most - 1)]
    assert [attempt for attempt, _ in cluster.placed] == list(range(1, most))
    assert cluster.lose(now) == (Fail(SUBMIT.request, most - 1, "max_attempts"),)
    assert not cluster.retries.open


def test_what_is_over_for_its_client_is_over_here() -> None:
    cluster = Cluster(RecoveryRules())
    assert cluster.lose(0, delivered=-1) == ()
    assert not cluster.retries.open
    assert cluster.retries.due_ps is None


@given(patience_s=st.integers(1, 100), back_s=st.integers(1, 200))
def test_for_machines_it_waits_until_one_is_back_or_its_patience_ends(patience_s: int, back_s: int) -> None:
    cluster = Cluster(RecoveryRules(patience_ps=patience_s * S), has_machines=False)
    cluster.lose(0)
    since = cluster.run_to_next()
    if back_s < patience_s:
        cluster.has_machines = True
        cluster.retries.look_again(since + back_s * S)
        assert cluster.run_to_next() == since + back_s * S
        assert cluster.placed == [(1, since + back_s * S)]
    else:
        assert cluster.run_to_next() == since + patience_s * S
        assert not cluster.retries.open
        assert not cluster.placed


@given(delivered=st.integers(0, 20))
def test_a_resumed_attempt_begins_behind_what_its_client_has(delivered: int) -> None:
    cluster = Cluster(RecoveryRules(resume=True))
    cluster.lose(0, delivered)
    request = cluster.retries.open[5].submit.request
    behind = min(delivered, SUBMIT.request.max_tokens - 1)  # the last token is made again, so that it can end
    assert request.resumed_tokens == behind
    assert (request.prompt_tokens, request.max_tokens) == (100 + behind, 20 - behind)


@given(gave_way=st.integers(0, 9), most=st.integers(1, 4))
def test_who_gave_way_may_try_again_so_often(gave_way: int, most: int) -> None:
    cluster = Cluster(RecoveryRules(max_attempts=most))
    cluster.retries.gave_way[5] = gave_way
    tries = 1
    while not cluster.lose(cluster.retries.open[5].placed_ps):
        cluster.run_to_next()
        tries += 1
    assert tries == most + min(gave_way, most)
