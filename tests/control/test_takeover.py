"""A router that follows another: it asks, waits, and takes up what machines hold and their clients still take."""

from typing import Any

import pytest

from emu.control.commands import Claim, Command, DeclareDead, Fence, Place, Reject, Send
from emu.control.messages import (
    Assign,
    Cancel,
    Ended,
    Holding,
    Inquire,
    Inventory,
    LoadReport,
    Lost,
    Silent,
    SourceGone,
    Submit,
)
from emu.control.pools import Member, Pool
from emu.control.request import Request
from emu.control.router import Event, Router, RouterRules
from emu.control.router_events import Begin, Claimed, Fenced
from emu.control.terms import first_attempt, first_epoch

P, D, D2 = 0, 1, 2
MEMBERS = (Member(P, Pool.PREFILL, 100), Member(D, Pool.DECODE, 100), Member(D2, Pool.DECODE, 100))
FIRST = first_attempt(1)


def request_of(number: int) -> Request:
    return Request(number, 64, 100, 0)


def holding(number: int, peer: int, *, attempt: int = 0, decodes: bool = False, whole: bool = False) -> Holding:
    return Holding(request_of(number), attempt, peer, decodes, whole)


class Following:
    """A router of term 1 of three machines; what its clients say is written out."""

    def __init__(self, **given_up: int | None) -> None:
        self.router = Router(MEMBERS, RouterRules(), term=1)
        self.given_up = {int(number[1:]): attempt for number, attempt in given_up.items()}
        self.now = 0
        self.done: list[Command] = []

    def tell(self, event: Event) -> list[Command]:
        """What is carried out at once, with what follows from the answers of clients."""
        done: list[Command] = []
        waiting: list[Command] = list(self.router.handle(event, self.now))
        while waiting:
            command = waiting.pop(0)
            done.append(command)
            if isinstance(command, Claim):
                answer = Claimed(command.request_id, self.given_up.get(command.request_id, -1))
                waiting = [*self.router.handle(answer, self.now), *waiting]
            elif isinstance(command, Fence):
                fenced = Fenced(command.request_id, command.attempt, 0)
                waiting = [*self.router.handle(fenced, self.now), *waiting]
        self.done += done
        return done

    def answer(self, machine: int, *holdings: Holding) -> list[Command]:
        report = LoadReport(machine, 0, self.now, 0, 0, 0, 100, 0, first_epoch(1))
        return self.tell(Inventory(machine, report, holdings, self.now))

    def due(self) -> tuple[Command, ...]:
        return self.router.recovery.due(self.now)


def sent(commands: list[Command], kind: type) -> list[Any]:
    return [(c.machine, c.message) for c in commands if isinstance(c, Send) and isinstance(c.message, kind)]


def test_it_asks_everybody_and_decides_nothing_before_all_have_answered() -> None:
    following = Following()
    assert [machine for machine, _ in sent(following.tell(Begin()), Inquire)] == [P, D, D2]
    assert following.tell(Submit(request_of(7), 0)) == []
    assert following.answer(P) == []
    assert following.answer(D) == []
    done = following.answer(D2)
    [place] = [command for command in done if isinstance(command, Place)]
    assert (place.request_id, place.attempt) == (7, FIRST)
    assert sent(done, Assign)[0][1].epoch == first_epoch(1)


def test_who_does_not_answer_is_asked_again_and_then_dead() -> None:
    following = Following()
    following.tell(Begin())
    following.answer(P)
    following.answer(D)
    following.now = following.router.recovery.rules.ask_again_ps
    assert [machine for machine, _ in sent(list(following.due()), Inquire)] == [D2]
    following.now = following.router.recovery.rules.answer_within_ps
    assert [command.machine for command in following.due() if isinstance(command, DeclareDead)] == [D2]
    assert isinstance(following.tell(Submit(request_of(1), 0))[0], Place)


def test_silence_is_an_answer_too() -> None:
    following = Following()
    following.tell(Begin())
    following.answer(P, holding(3, D2))
    following.answer(D)
    done = following.tell(Silent(D2))
    assert isinstance(done[0], DeclareDead)
    assert [command for command in done if isinstance(command, Fence)] == [Fence(3, FIRST - 1, "router_gone")]
    assert sent(done, Cancel) == [(P, Cancel(((3, 0),), 0, 1))]


@pytest.mark.parametrize(
    ("source", "target", "follows"),
    [
        (True, holding(3, P, decodes=True), "goes on"),
        (False, holding(3, D, decodes=True, whole=True), "goes on"),
        (False, holding(3, P, decodes=True), "asked"),
        (True, None, "anew"),
    ],
)
def test_an_attempt_goes_on_if_enough_of_it_is_left(source: bool, target: Holding | None, follows: str) -> None:
    following = Following()
    following.tell(Begin())
    following.answer(P, *((holding(3, D),) if source else ()))
    following.answer(D, *((target,) if target else ()))
    done = following.answer(D2)
    assert Claim(3) in done
    assert bool(sent(done, SourceGone)) is (follows == "asked")
    assert any(isinstance(command, Fence) for command in done) is (follows == "anew")
    assert following.router.open[3].attempt == (FIRST - 1 if follows == "anew" else 0)


@pytest.mark.parametrize(("given_up", "left"), [(None, False), (0, True)])
def test_what_a_client_takes_no_more_does_not_go_on(given_up: int | None, left: bool) -> None:
    following = Following(r3=given_up)
    following.tell(Begin())
    following.answer(P, holding(3, D))
    following.answer(D, holding(3, P, decodes=True))
    done = following.answer(D2)
    assert sent(done, Cancel) == [(P, Cancel(((3, 0),), 0, 1)), (D, Cancel(((3, 0),), 0, 1))]
    assert (3 in following.router.open) is left


def test_the_latest_attempt_goes_on_and_the_others_are_cancelled() -> None:
    following = Following()
    following.tell(Begin())
    following.answer(P, holding(3, D2, attempt=1))
    following.answer(D, holding(3, P, decodes=True))
    done = following.answer(D2, holding(3, P, attempt=1, decodes=True))
    assert sent(done, Cancel) == [(D, Cancel(((3, 0),), 0, 1))]
    assert following.router.open[3][1:4] == (1, P, D2)


def test_what_ended_or_was_lost_meanwhile_is_known_when_it_is_over() -> None:
    following = Following(r3=None)
    following.tell(Begin())
    following.answer(D, holding(3, D, decodes=True, whole=True), holding(4, P, decodes=True))
    assert following.tell(Ended(3, 0, D, "completed", 0)) == following.tell(Lost(4, 0, D, "lease_expired", 0)) == []
    following.answer(P, holding(4, D))
    done = following.answer(D2)
    assert 3 not in following.router.open
    assert Fence(4, 0, "lease_expired") in done


def test_a_request_sent_again_is_fenced_below_all_that_an_older_router_can_have_placed() -> None:
    following = Following()
    following.tell(Begin())
    for machine in (P, D, D2):
        following.answer(machine)
    done = following.tell(Submit(request_of(5), 0, attempt=2))
    assert Fence(5, FIRST - 1, "router_gone") in done
    [place] = [command for command in following.due() if isinstance(command, Place)]
    assert place.attempt == FIRST
    assert following.tell(Submit(request_of(5), 0, attempt=2)) == [], "it is open now"
    assert not [command for command in following.done if isinstance(command, Reject)]


def test_what_comes_late_changes_nothing() -> None:
    following = Following()
    following.tell(Begin())
    for machine in (P, D, D2):
        following.answer(machine)
    assert following.answer(D, holding(9, D, decodes=True, whole=True)) == []
    assert not following.router.open
