"""Checksums of caches: taken when a cache is announced, compared when it is said to be here.

What they are taken over is the world's; which caches are checked at all is decided where a machine is put together.
"""

from __future__ import annotations

from attrs import frozen

from emu.control.commands import MakeOffer, PostSignal
from emu.control.machine import Machine
from emu.control.machine_events import Event, Mismatch
from emu.control.messages import Signal
from emu.control.transfer.chunks import groups, merge
from emu.node.ports import Checksum


@frozen(eq=False, repr=False)
class Checksums:
    """Those of one machine."""

    core: Machine
    of_blocks: Checksum

    def with_offer(self, make: MakeOffer) -> MakeOffer:
        """The offer, with the checksums of what stands in its blocks."""
        offer = make.message
        return make._replace(message=offer._replace(checksums=self._of(offer.blocks)))

    def with_signal(self, post: PostSignal) -> PostSignal:
        """The signal, with the checksums of what stands here behind it."""
        signal = post.signal
        blocks = self.core.sender.open[signal.request_id, signal.attempt].loan.blocks
        return post._replace(signal=signal._replace(checksums=self._of(tuple(blocks))))

    def checked(self, message: Event) -> Event:
        """A signal only if its data is here as it was sent."""
        if type(message) is not Signal:
            return message
        ranges = zip(groups(self.core.rules.layers), message.checksums, self._of(message.blocks), strict=True)
        wrong = merge(layers for layers, sent, here in ranges if sent != here)
        return Mismatch(message, wrong) if wrong else message

    def _of(self, blocks: tuple[int, ...]) -> tuple[int, ...]:
        return self.of_blocks(blocks, groups(self.core.rules.layers))
