"""A cache that is not what was sent is not handed on, and what is wrong with it is told by layers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.control.commands import MakeOffer, PostSignal
from emu.control.machine import Machine
from emu.control.machine_events import Mismatch, Tick
from emu.control.machine_rules import MachineRules
from emu.control.messages import Offer, Signal
from emu.control.request import Request
from emu.control.transfer.chunks import LayerRange, groups
from emu.node.checksums import Checksums

LAYERS = 20
RANGES = groups(LAYERS)
SIGNAL = Signal(3, 0, 1, 9, ((0, LAYERS - 1),), (4, 5))


def _checksums(wrong: frozenset[int] = frozenset()) -> Checksums:
    """Of a machine in whose memory the layers `wrong` are not what they were."""

    def of_blocks(blocks: tuple[int, ...], ranges: tuple[LayerRange, ...]) -> tuple[int, ...]:
        return tuple(
            1000 * sum(blocks) + first + (1 if any(first <= layer <= last for layer in wrong) else 0)
            for first, last in ranges
        )

    return Checksums(Machine(MachineRules(1, 64, LAYERS, 10**12)), of_blocks)


def _sent() -> Signal:
    return SIGNAL._replace(checksums=_checksums()._of(SIGNAL.blocks))


@given(wrong=st.frozensets(st.integers(0, LAYERS - 1)))
def test_a_wrong_layer_is_in_what_is_asked_for_again(wrong: frozenset[int]) -> None:
    found = _checksums(wrong).checked(_sent())
    if not wrong:
        assert found == _sent()
        return
    assert isinstance(found, Mismatch)
    again = {layer for first, last in found.layers for layer in range(first, last + 1)}
    assert wrong <= again
    for first, last in RANGES:  # and a range without one is not
        if not wrong & set(range(first, last + 1)):
            assert not again & set(range(first, last + 1))


def test_what_carries_no_cache_passes() -> None:
    tick = Tick()
    assert _checksums(frozenset({0})).checked(tick) is tick


def test_an_offer_says_what_stands_in_its_blocks() -> None:
    offer = Offer(Request(3, 32, 8, 0), 0, 1, 9, (4, 5), 0)
    made = _checksums().with_offer(MakeOffer(2, offer))
    assert made == MakeOffer(2, offer._replace(checksums=_sent().checksums))


def test_a_signal_without_its_transfer_is_a_bug() -> None:
    with pytest.raises(KeyError):
        _checksums().with_signal(PostSignal(2, SIGNAL))
