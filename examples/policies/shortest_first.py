"""A machine-level scheduler as people write it: the shortest prompt first, since that is best for the mean.

Deliberately weak: a long prompt waits for as long as short ones keep coming. `emu fuzz` finds a small such stream.
"""

from collections.abc import Sequence

from emu.policies import Prompt


class ShortestFirst:
    def next_prompt(self, waiting: Sequence[Prompt]) -> int:
        return min(range(len(waiting)), key=lambda index: waiting[index].prompt_tokens)
