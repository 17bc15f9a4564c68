"""Making runs: each once, a failed one twice, and a worker that dies takes only its own run with it."""

from collections import Counter
from pathlib import Path

from deadly_work import deadly
from hypothesis import given
from hypothesis import strategies as st

from emu.scenario.load import load
from emu.sweep.engines import DIED, Ended, LocalEngine
from emu.sweep.jobs import Job
from emu.sweep.journal import Journal
from emu.sweep.making import Making

SCENARIO = load(Path(__file__).parents[2] / "scenarios" / "hello.toml")


class ScriptedEngine:
    """Fails a job as often as `failures` says, and gives ends in an order that `picks` decides."""

    def __init__(self, failures: dict[str, int], picks: list[int], room: int) -> None:
        self.room = room
        self.submitted: Counter[str] = Counter()
        self._failures = Counter(failures)
        self._picks = picks
        self._under_way: list[Job] = []

    def submit(self, job: Job) -> None:
        self.submitted[job.key] += 1
        self._under_way.append(job)
        assert len(self._under_way) <= self.room

    def next(self) -> Ended:
        pick = self._picks.pop() if self._picks else 0
        job = self._under_way.pop(pick % len(self._under_way))
        if self._failures[job.key] > 0:
            self._failures[job.key] -= 1
            return Ended(job, None, "it failed")
        return Ended(job, {"of": job.key})

    def close(self, *, at_once: bool) -> None:
        assert not at_once


@given(
    st.lists(st.sampled_from("abcdefgh"), max_size=12),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 3)),
    st.lists(st.integers(0, 50), max_size=20),
    st.integers(1, 4),
    st.sets(st.sampled_from("abcdefgh")),
)
def test_every_wanted_run_is_made_once_and_tried_twice_at_most(
    wanted: list[str], failures: dict[str, int], picks: list[int], room: int, there: set[str]
) -> None:
    engine = ScriptedEngine(failures, picks, room)
    journal = Journal(None)
    for key in there:
        journal.add(key, {"summary": "kept"})
    over: list[str] = []
    making = Making(engine, journal, lambda job: over.append(job.key))
    making.want(Job(key, SCENARIO) for key in wanted)
    while making.step() is not None:
        pass
    new = set(wanted) - there
    assert sorted(over) == sorted(new)
    assert engine.submitted == Counter({key: min(2, 1 + failures.get(key, 0)) for key in new})
    for key in new:
        failed = failures.get(key, 0) >= 2
        assert journal.results[key] == ({"failure": "it failed"} if failed else {"summary": {"of": key}})


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3)), max_size=12))
def test_the_lowest_rank_is_made_first_and_of_equals_what_was_asked_first(wanted: list[tuple[str, int]]) -> None:
    engine = ScriptedEngine({}, [], 1)
    over: list[str] = []
    making = Making(engine, Journal(None), lambda job: over.append(job.key))
    for key, rank in wanted:
        making.want([Job(key, SCENARIO)], rank)
    while making.step() is not None:
        pass
    first_asked = {key: (rank, place) for place, (key, rank) in reversed(list(enumerate(wanted)))}
    assert over == sorted(first_asked, key=lambda key: first_asked[key])


def test_a_worker_that_dies_takes_only_its_own_run_with_it() -> None:
    engine = LocalEngine(deadly, {}, 2)
    journal = Journal(None)
    making = Making(engine, journal)
    keys = ["a", "deadly", "wrong", *(f"b{number}" for number in range(8))]
    making.want(Job(key, SCENARIO) for key in keys)
    while making.step() is not None:
        pass
    engine.close(at_once=False)
    assert journal.results.keys() == set(keys)
    assert journal.results["deadly"] == {"failure": DIED}
    assert journal.results["wrong"] == {"failure": "ValueError: as planned"}
    assert sum("summary" in result for result in journal.results.values()) == len(keys) - 2
