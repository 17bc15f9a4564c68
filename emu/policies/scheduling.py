"""A machine-level scheduler's and a transfer's policy of one's own, as the scheduler asks for such choices.

Where a policy breaks its contract the production choice is made in its place, and the breach is on record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define

from emu.control.request import Sequence as Held
from emu.policies.contract import Contract, shown
from emu.policies.interface import Prompt, Running, SchedulerPolicy, TransferPolicy
from emu.record.entries import PolicyFault, PolicySeat


@define(eq=False, repr=False)
class OwnScheduling:
    """The choices of machine `here`, made by `chosen`."""

    chosen: SchedulerPolicy
    contract: Contract
    here: int

    @property
    def chooses_victims(self) -> bool:
        return hasattr(self.chosen, "victim")

    def next_prompt(self, waiting: Sequence[Held]) -> int:
        """An index; 0, the one that came first, after a breach."""
        prompts = tuple(
            Prompt(request.request_id, request.prompt_tokens, request.max_tokens, request.arrived_ps)
            for request in (sequence.request for sequence in waiting)
        )
        return self._index("next_prompt", self.chosen.next_prompt, prompts, 0)

    def victim(self, running: Sequence[tuple[Held, int]]) -> int:
        """An index into sequences and the tokens delivered to each; after a breach the last, the latest arrival."""
        sequences = tuple(
            Running(
                sequence.request.request_id,
                sequence.request.prompt_tokens,
                delivered,
                0 if sequence.loan is None else len(sequence.loan.blocks),
                sequence.preemptions,
                sequence.request.arrived_ps,
            )
            for sequence, delivered in running
        )
        return self._index("victim", self.chosen.victim, sequences, len(running) - 1)

    def _index(self, name: str, ask: Callable[[Any], int], among: Sequence[Prompt | Running], other: int) -> int:
        try:
            answer: object = ask(among)
        except Exception as error:
            self.contract.raised(PolicySeat.SCHEDULING, self.here, error)
            return other
        if type(answer) is not int:
            words = f"{name}() answered {shown(answer)}, expected an index"
            self.contract.broken(PolicySeat.SCHEDULING, self.here, PolicyFault.UNREADABLE, words)
            return other
        if not 0 <= answer < len(among):
            words = f"{name}() answered {answer}, offered were {len(among)}"
            self.contract.broken(PolicySeat.SCHEDULING, self.here, PolicyFault.NOT_OFFERED, words)
            return other
        return answer


@define(eq=False, repr=False)
class OwnTransfers:
    """How caches leave machine `here`, decided by `chosen`; all behind the batch after a breach."""

    chosen: TransferPolicy
    contract: Contract
    here: int

    def by_layer(self, prompt_tokens: int, prompts: int) -> bool:
        try:
            answer: object = self.chosen.by_layer(prompt_tokens, prompts)
        except Exception as error:
            self.contract.raised(PolicySeat.TRANSFER, self.here, error)
            return False
        if type(answer) is not bool:
            words = f"by_layer() answered {shown(answer)}, expected True or False"
            self.contract.broken(PolicySeat.TRANSFER, self.here, PolicyFault.UNREADABLE, words)
            return False
        return answer
