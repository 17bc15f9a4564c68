"""A complete routing policy of 20 lines: the least loaded machine for each phase, one that can hold the request."""

from collections.abc import Sequence

from emu.policies import Ask, Choice, Offer


class LeastLoaded:
    """Each phase on the machine with the least to do for it; a mixed machine serves both."""

    def place(self, ask: Ask, machines: Sequence[Offer]) -> Choice | None:
        prefills = [m for m in machines if m.pool != "decode" and m.kv_blocks >= ask.prefill_blocks]
        decodes = [m for m in machines if m.pool != "prefill" and m.kv_blocks >= ask.decode_blocks]
        if not prefills or not decodes:
            return None
        prefill = min(prefills, key=lambda m: (m.pending_tokens, m.machine))
        if prefill.pool == "mixed" and prefill in decodes:
            return Choice(prefill.machine, prefill.machine)
        decode = min(decodes, key=lambda m: (m.kv_blocks - m.free_blocks, m.machine))
        return Choice(prefill.machine, decode.machine)
