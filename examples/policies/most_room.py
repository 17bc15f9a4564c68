"""A router as people write it: the emptiest prefill queue, and of the decode machines with room the one with the most.

Deliberately weak: it forgets that one day no machine has room. `emu fuzz` finds that day.
"""

from collections.abc import Sequence

from emu.policies import Ask, Choice, Offer


class MostRoom:
    def place(self, ask: Ask, machines: Sequence[Offer]) -> Choice | None:
        prefills = [offer for offer in machines if offer.pool != "decode"]
        decodes = [offer for offer in machines if offer.pool != "prefill" and offer.free_blocks >= ask.decode_blocks]
        prefill = min(prefills, key=lambda offer: offer.pending_tokens)
        decode = max(decodes, key=lambda offer: offer.free_blocks)
        return Choice(prefill.machine, decode.machine)
