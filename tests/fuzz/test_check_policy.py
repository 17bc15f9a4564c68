"""`check_policy` breaks policies that are weak and lets those be that are not."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import strategies as st

from emu.policies import Ask, Choice, Offer, Prompt
from emu.scenario.load import load
from emu.testing import check_policy, clusters

PAIR = st.just(load(Path(__file__).parents[2] / "scenarios" / "hello.toml", ("scheduler.max_overtaken=1",)))
EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"


class Draws:
    """A policy that rolls its own dice: the same scenario is another run each time."""

    rolled = 0

    def place(self, ask: Ask, machines: Sequence[Offer]) -> Choice | None:
        Draws.rolled += 1
        decodes = [m.machine for m in machines if m.pool != "prefill" and m.kv_blocks >= ask.decode_blocks]
        prefills = [m.machine for m in machines if m.pool != "decode" and m.kv_blocks >= ask.prefill_blocks]
        if not prefills or not decodes:
            return None
        return Choice(prefills[Draws.rolled % len(prefills)], decodes[Draws.rolled // 3 % len(decodes)])


class Nothing:
    pass


class ShortestFirst:
    def next_prompt(self, waiting: Sequence[Prompt]) -> int:
        return min(range(len(waiting)), key=lambda index: waiting[index].prompt_tokens)


def example(module: str, name: str) -> type:
    sys.path.insert(0, str(EXAMPLES))
    try:
        found: type = getattr(__import__(module), name)
    finally:
        sys.path.remove(str(EXAMPLES))
    return found


def test_a_policy_without_a_mistake_passes() -> None:
    check_policy(example("least_loaded", "LeastLoaded"), clusters(), examples=60)


def test_a_weak_router_comes_back_as_a_small_scenario() -> None:
    with pytest.raises(AssertionError) as broken:
        check_policy(example("most_room", "MostRoom"), PAIR, examples=200)
    told = str(broken.value)
    assert told.startswith("MostRoom breaks policy-contract")
    assert "ValueError: max() arg is an empty sequence" in told
    assert 'policy = "most_room:MostRoom"' in told
    assert told.count("prompt_tokens = ") <= 4


def test_a_weak_scheduler_is_broken() -> None:
    with pytest.raises(AssertionError, match="ShortestFirst breaks "):
        check_policy(ShortestFirst, PAIR, examples=400)


def test_a_policy_with_dice_of_its_own_is_not_repeatable() -> None:
    with pytest.raises(AssertionError, match="Draws breaks "):
        check_policy(Draws, clusters(), examples=200)


def test_a_class_that_fits_no_interface_is_refused() -> None:
    with pytest.raises(TypeError, match="Nothing has none of place"):
        check_policy(Nothing)
