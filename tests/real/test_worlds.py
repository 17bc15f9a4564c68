"""Which worlds there are, and what is refused of them, in one line each."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from emu.refusal import Refusal
from emu.run import build
from emu.worlds import WORLDS, world


def test_the_emulated_world_comes_first_and_is_the_usual_one() -> None:
    assert world(WORLDS[0]) is build


def test_a_models_steps_are_not_measured(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="expected --world real"):
        world("emulated", tmp_path / "profile")


def test_a_profile_does_not_overwrite(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="expected the name of a folder to make, got one that is there"):
        world("real-cpu", tmp_path)


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is here")
def test_a_real_world_needs_pytorch() -> None:
    with pytest.raises(Refusal, match=r"--world real: expected PyTorch, which comes with pip install 'emu\[torch\]'"):
        world("real")
