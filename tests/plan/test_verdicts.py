"""Which seed speaks first, and when it speaks for all."""

from collections.abc import Generator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from made_up import plan_with

from emu.plan.schema import Search
from emu.plan.trials import Found, Point, Trial
from emu.plan.verdicts import Verdict, all_surely_fail, deciding_first, settle, typical_first

MARGINS = st.lists(st.floats(0.5, 1.5).filter(lambda margin: margin != 1.0), min_size=1, max_size=7)
POINT = Point((3, 2), 9.0)


def run(margin: float) -> Found:
    return Found(margin < 1, "", {"tbt_p50": (margin, margin * 0.9, margin * 1.1)}, {}, 1.0, "")


def carried(steps: Generator[tuple[Trial, ...], Any, Any], margins: list[float]) -> tuple[Any, list[Trial]]:
    """What comes of asking, where runs come out so; and the trials that it took."""
    made: list[Trial] = []
    answers = None
    while True:
        try:
            trials = steps.send(answers)
        except StopIteration as end:
            return end.value, made
        made += trials
        answers = {trial: run(margins[trial.seed]) for trial in trials}


def asked(search: Search, margins: list[float], *, firmly: bool) -> tuple[Verdict, list[Trial]]:
    return carried(settle(POINT, search, range(search.seeds), firmly=firmly), margins)


def search(seeds: int, short_s: float = 20.0) -> Search:
    return plan_with(search={"seeds": seeds, "short_s": short_s, "long_s": 20.0}).search


@given(MARGINS)
def test_the_first_of_whole_runs_passes_just_when_most_do(margins: list[float]) -> None:
    seeds = deciding_first([run(margin) for margin in margins])
    assert sorted(seeds) == list(range(len(margins)))
    assert (margins[seeds[0]] < 1) == (2 * sum(margin < 1 for margin in margins) > len(margins))


@given(MARGINS)
def test_those_that_say_what_most_say_come_first_and_the_nearest_before_them_all(margins: list[float]) -> None:
    verdict, made = asked(search(len(margins)), margins, firmly=True)
    seeds = typical_first(range(len(margins)), verdict)
    heard = [trial.seed for trial in made]
    agreeing = [seed for seed in heard if (margins[seed] < 1) == verdict.passed]
    assert sorted(seeds) == list(range(len(margins)))
    assert sorted(seeds[: len(agreeing)]) == agreeing
    assert abs(margins[seeds[0]] - 1) == min(abs(margins[seed] - 1) for seed in agreeing)


@given(MARGINS)
def test_a_firm_verdict_is_that_of_most_seeds_from_as_few_as_settle_it(margins: list[float]) -> None:
    verdict, made = asked(search(len(margins)), margins, firmly=True)
    most = 2 * sum(margin < 1 for margin in margins) > len(margins)
    assert (verdict.passed, verdict.firm) == (most, True)
    assert len(made) == len(set(made)) <= len(margins)
    before = [margins[trial.seed] < 1 for trial in made[:-1]]
    assert 2 * sum(before) <= len(margins)
    assert 2 * (len(before) - sum(before)) < len(margins)


@given(MARGINS)
def test_a_first_look_takes_one_run_and_says_so(margins: list[float]) -> None:
    verdict, made = asked(search(len(margins)), margins, firmly=False)
    assert len(made) == 1
    assert verdict.passed == (margins[0] < 1)
    assert verdict.firm == (len(margins) == 1 or (len(margins) == 2 and margins[0] > 1))


@given(st.floats(0.5, 1.5))
def test_a_short_run_speaks_only_of_a_sure_failure(margin: float) -> None:
    _, made = asked(search(3, short_s=5.0), [margin] * 3, firmly=False)
    assert [trial.duration_s for trial in made] == ([5.0] if margin * 0.9 >= 1 else [5.0, 20.0])
    _, made = asked(search(3, short_s=5.0), [margin] * 3, firmly=True)
    assert [trial.duration_s for trial in made] == [20.0, 20.0]


@given(MARGINS)
def test_surely_failing_is_said_only_of_all_seeds(margins: list[float]) -> None:
    said, made = carried(all_surely_fail(POINT, search(len(margins))), margins)
    assert said == all(margin * 0.9 >= 1 for margin in margins)
    assert len(made) <= len(margins)
