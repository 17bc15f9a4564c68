"""The contract of policies of one's own: they answer, in time, and with what they were offered.

What a policy said in its own words is no part of the record; whoever ran it has them.
"""

from __future__ import annotations

from typing import Final

from emu.laws.verdicts import Handlers, Law, Names
from emu.record.entries import PolicyBroke, PolicyFault, PolicySeat

_DID: Final = {
    PolicyFault.RAISED: "raised an exception or ended",
    PolicyFault.LATE: "did not answer in time",
    PolicyFault.NOT_OFFERED: "answered with something that it was not offered",
    PolicyFault.UNREADABLE: "gave an answer of the wrong kind",
}


class Contract:
    """Law: policy-contract."""

    def __init__(self, names: Names) -> None:
        self.contract = Law(
            "policy-contract",
            "A policy of one's own raises nothing, answers in time, and answers with what it was offered.",
        )
        self.laws = (self.contract,)
        self._names = names
        self.handlers: Handlers = {PolicyBroke: self._broke}

    def finish(self, at_ps: int) -> None:
        """Nothing to say."""

    def _broke(self, entry: PolicyBroke) -> None:
        whose = "the router" if entry.machine < 0 else self._names[entry.machine]
        seat = PolicySeat(entry.seat).name.lower()
        self.contract.broken(entry.at_ps, f"the {seat} policy of {whose} {_DID[PolicyFault(entry.fault)]}")
