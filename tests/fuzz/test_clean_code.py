"""The fuzzer finds nothing in what ships: for so many examples in dev and ci, for so many minutes at night."""

import os
import random

from emu.fuzz.hunt import Hunt, Limits
from emu.fuzz.keep import scenario_text
from emu.fuzz.story import story
from emu.fuzz.strategies import anywhere

LIMITS = {"dev": Limits(examples=40), "ci": Limits(examples=250)}


def test_nothing_is_found_without_faults() -> None:
    profile = os.environ.get("EMU_TESTS", "ci")
    nightly = Limits(seconds=60 * float(os.environ.get("EMU_MINUTES", "30")))
    seed = int(os.environ.get("EMU_SEED") or (0 if profile in LIMITS else random.SystemRandom().randrange(2**31)))
    hunt = Hunt(anywhere(), seed=seed)
    caught = hunt.go(LIMITS.get(profile, nightly))
    if caught is not None:
        told = "\n".join(story(caught.run, caught.finding))
        repeat = f"EMU_TESTS={profile} EMU_SEED={seed} pytest tests/fuzz/test_clean_code.py"
        raise AssertionError(
            f"{caught.finding.law}: {caught.finding.what}\n\n{told}\n\n{caught.finding.words}\n\n"
            f"{scenario_text(caught.scenario)}\n\nFound after {caught.after_examples} examples; again: {repeat}"
        )
    assert hunt.tally.examples >= 40
    assert len(hunt.tally.pairs) > 60
