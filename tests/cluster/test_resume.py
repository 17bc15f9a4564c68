"""Requests that go on behind the tokens that their clients have: each token comes once, and the answer is the same."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recovery import Found, struck

from emu.control.retries import Retries
from emu.control.router_events import Open
from emu.record import entries as e
from emu.reliability.trial import Trials
from emu.scenario.draw import draw_plan, draw_scenario
from emu.scenario.schema import Fault, MachineGroup, Router, Transfer

RESUME = Router(resume="delivered")
CRASH = Fault(kind="crash", machine="decode-0", at_s=1.2)
Direction = Literal["put", "get"]


def tokens_made(found: Found) -> int:
    """By decode steps, whoever had them."""
    return sum(run.steps * run.sequences for run in found.entries if isinstance(run, (e.StepFinished, e.StepsCut)))


@pytest.fixture(scope="module")
def plain() -> dict[int, int]:
    return struck().answers


@pytest.mark.parametrize("direction", ["put", "get"])
@pytest.mark.parametrize("fault", [CRASH, evolve(CRASH, kind="pause", heal_after_s=2.0), evolve(CRASH, at_s=0.7)])
def test_an_answer_goes_on_where_it_was_broken_off(fault: Fault, direction: Direction, plain: dict[int, int]) -> None:
    keys: dict[str, Any] = {"transfer": Transfer(direction=direction)}
    found, scratch = struck(fault, router=RESUME, **keys), struck(fault, **keys)
    assert found.of(e.Resumed)
    assert found.answers == scratch.answers == plain
    assert found.broken == ()
    assert tokens_made(found) < tokens_made(scratch)


def test_no_token_of_a_crashed_machine_is_made_twice_but_the_one_under_way() -> None:
    """Each attempt that resumes has its first token from its prefill, so as many decode steps are saved."""
    whole, found = struck(), struck(CRASH, router=RESUME)
    assert tokens_made(found) == tokens_made(whole) - len(found.of(e.Resumed))


def test_the_prompt_of_an_attempt_that_resumes_has_the_answer_so_far_in_it() -> None:
    found = struck(CRASH, router=RESUME)
    prompts = {entry.request: entry.prompt_tokens for entry in found.of(e.Arrived)}  # type: ignore[union-attr]
    behind = {(entry.request, entry.attempt): entry.delivered for entry in found.of(e.Resumed)}  # type: ignore[union-attr]
    computed = {
        (piece.request, piece.attempt): piece.tokens
        for entry in found.of(e.StepStarted)
        for piece in entry.prefills  # type: ignore[union-attr]
    }
    for (request, attempt), delivered in behind.items():
        assert computed[request, attempt] == prompts[request] + delivered


def test_a_request_whose_answer_has_outgrown_every_machine_but_its_own_begins_from_scratch() -> None:
    """The prefill machine's pool takes the prompt, and not the answer with it."""
    crash = Fault(kind="restart", machine="decode-0", at_s=2.5, startup_s=0.1)
    groups = tuple(
        MachineGroup(pool=pool, hardware="dgx-h100", count=1, tensor_parallel=8, kv_blocks=blocks)  # type: ignore[arg-type]
        for pool, blocks in (("prefill", 20), ("decode", 40))
    )
    keys: dict[str, Any] = {"rows": [(0, 310, 150)], "router": evolve(RESUME, policy="jsq"), "machines": groups}
    found = struck(crash, **keys)
    assert not found.of(e.Resumed)
    assert len(found.answers) == len(found.of(e.Assigned)) - 1 == 1
    assert found.broken == ()


def _off_by(tokens: int) -> Callable[[pytest.MonkeyPatch], None]:
    original = Retries._behind

    def behind(self: Retries, entry: Open, delivered: int) -> Open:
        return original(self, entry, delivered + tokens if delivered else 0)

    return lambda patch: patch.setattr(Retries, "_behind", behind)


@pytest.mark.parametrize("tokens", [-1, 1])
def test_a_token_that_came_twice_or_never_would_break_a_law(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _off_by(tokens)(monkeypatch)
    found = struck(CRASH, router=RESUME)
    assert any(broken.startswith("answers-true") for broken in found.broken)


@given(st.integers(0, 10**6), st.sampled_from(("put", "get")))
@settings(max_examples=50, deadline=None)
def test_no_law_breaks_whatever_strikes(seed: int, direction: Direction) -> None:
    scenario = draw_scenario(seed)
    plan = draw_plan(seed, scenario, 3, ("crash", "restart", "pause", "hang", "link_down", "router_crash", "lose"))
    router = evolve(scenario.router, resume="delivered")
    transfer = evolve(scenario.transfer, direction=direction)
    assert Trials().run(evolve(scenario, faults=plan, router=router, transfer=transfer)).clean
