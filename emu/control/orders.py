"""Orders: which of the router's messages a machine takes, and how far it has counted them.

A message counts only under the epoch in which the router takes this machine for alive, and once. What is then done
about it is the machine's.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from emu.control.messages import UNADMITTED
from emu.control.terms import first_epoch, term_of

REMEMBERED: Final = 1024  # of the numbers that a message passes over, those that may still come


@define(eq=False, repr=False)
class Orders:
    """Those to one machine; `epoch` is the one under which the router takes it for alive."""

    epoch: int
    counted: int = field(init=False, default=0)  # the router's latest message that is in the load report
    _passed_over: set[int] = field(init=False, factory=set)  # its messages before that one that have not come

    @property
    def admitted(self) -> bool:
        """Whether a router has taken this process in."""
        return self.epoch != UNADMITTED

    @property
    def term(self) -> int:
        """Of the router that this machine obeys."""
        return term_of(self.epoch)

    def are_new(self, epoch: int, number: int) -> bool:
        """Whether the router sent this to the machine as it is now, and it comes for the first time."""
        return epoch == self.epoch and (number > self.counted or number in self._passed_over)

    def count(self, number: int) -> None:
        """This one has come. They come in the order of their numbers, unless some are late or lost."""
        if number == self.counted + 1:
            self.counted = number
        elif number > self.counted:
            self._passed_over.update(range(max(self.counted + 1, number - REMEMBERED), number))
            self.counted = number
        else:
            self._passed_over.discard(number)

    def told_of(self, number: int) -> None:
        """The router has sent so many: what has not come may still come, that number itself too."""
        if number > self.counted:
            self.count(number)
            self._passed_over.add(number)

    def obey(self, term: int) -> None:
        """A router of a newer term numbers its messages to this machine from now on."""
        self.begin(first_epoch(term), 0)

    def begin(self, epoch: int, number: int) -> None:
        """Under this epoch, of whose messages those up to `number` are not for this process."""
        self.epoch, self.counted = epoch, number
        self._passed_over.clear()
