"""For tests of policies: `check_policy` looks for the smallest scenario that breaks one, from pytest or anywhere.

    from emu.testing import check_policy, clusters, fault_plans

What is drawn and what must hold stand in `emu.fuzz`; nothing of a run is here.
"""

from __future__ import annotations

from pathlib import Path

from attrs import evolve
from hypothesis import strategies as st

from emu.fuzz.choices import rolled
from emu.fuzz.hunt import Hunt, Limits
from emu.fuzz.keep import scenario_text
from emu.fuzz.story import story
from emu.fuzz.strategies import Plans, clusters, fault_plans, situation
from emu.policies.seats import Seats
from emu.scenario.schema import Scenario

__all__ = ["check_policy", "clusters", "fault_plans"]


def check_policy(
    policy: type,
    bases: st.SearchStrategy[Scenario] | None = None,
    faults: Plans | None = None,
    *,
    examples: int = 200,
    seed: int = 0,
    database: Path | None = None,
) -> None:
    """Try `policy`, a class of routing, scheduling or transfer policies, in situations around the clusters drawn.

    Raises AssertionError with the law, the story and the smallest scenario that breaks it; TypeError where the class
    fits no interface. `faults` are plans to draw from; none strike without them.
    """
    seats = _seats(policy)

    def around(base: Scenario) -> st.SearchStrategy[Scenario]:
        named = _named(base, policy)
        return rolled(lambda choose: situation(choose, named, faults))

    hunt = Hunt((clusters() if bases is None else bases).flatmap(around), seed=seed, seats=seats, database=database)
    caught = hunt.go(Limits(examples=examples))
    if caught is not None:
        finding = caught.finding
        told = "\n".join(story(caught.run, finding))
        text = scenario_text(caught.scenario)
        words = f"\n\n{finding.words}" if finding.words else ""
        raise AssertionError(
            f"{policy.__qualname__} breaks {finding.law}: {finding.statement}\n{finding.what}\n\n{told}{words}\n\n"
            f"The smallest scenario, found after {caught.after_examples} examples with seed {seed}:\n\n{text}"
        )


def _seats(policy: type) -> Seats:
    if hasattr(policy, "place"):
        return Seats(routing=policy)
    if hasattr(policy, "next_prompt"):
        return Seats(scheduling=policy)
    if hasattr(policy, "by_layer"):
        return Seats(transfer=policy)
    raise TypeError(f"{policy.__qualname__} has none of place(), next_prompt() and by_layer()")


def _named(base: Scenario, policy: type) -> Scenario:
    """The scenario says whose policy it is, so that its text alone repeats the run where the class can be imported."""
    import inspect

    name = f"{policy.__module__}:{policy.__qualname__}"
    section = "router" if hasattr(policy, "place") else "scheduler" if hasattr(policy, "next_prompt") else "transfer"
    folder = Path(inspect.getfile(policy)).parent
    return evolve(base, policies_from=folder, **{section: evolve(getattr(base, section), policy=name)})
