"""Checker: all laws over one record. It knows which families there are and in which order they read; no law is here."""

from __future__ import annotations

from emu.laws.answers import Answers
from emu.laws.asked import Asked
from emu.laws.closing import Closing
from emu.laws.contract import Contract
from emu.laws.downs import Downs
from emu.laws.lives import Lives
from emu.laws.loans import Loans
from emu.laws.passage import Passage
from emu.laws.queues import Queues
from emu.laws.room import Room
from emu.laws.stalls import Stalls
from emu.laws.steps import Steps
from emu.laws.terms import Terms
from emu.laws.tokens import Tokens
from emu.laws.transfers import Transfers
from emu.laws.verdicts import Broken, Family, Law, LawRules, Names
from emu.record.start import RunStarted


class Checker:
    """Give `laws` to a Log as folds, in their order; after the last entry `finish` says what was broken."""

    def __init__(self, started: RunStarted, rules: LawRules) -> None:
        machines = len(started.machines)
        if len(rules.watermark_blocks) != machines:
            raise ValueError(f"expected the watermarks of {machines} machines, got {len(rules.watermark_blocks)}")
        names = Names(started)
        asked = Asked(started.requests, started.block_tokens)
        loans = Loans(names, rules, asked, [machine.kv_blocks for machine in started.machines])
        self._passage = Passage(names, rules)
        self.laws: tuple[Family, ...] = (
            asked,
            self._passage,
            Lives(names, machines, started.requests, rules.layers),
            Tokens(names, rules, asked, machines),
            Steps(names, rules, machines),
            Transfers(names, rules, asked),
            Queues(names, rules, machines),
            Stalls(names, rules, asked, loans.books),
            Room(names, rules, loans.books),
            loans,
            Answers(),
            Closing(names, started),
            *((Downs(names, rules.get), Terms(names, rules.get)) if rules.faulty else ()),
            Contract(names),
        )

    @property
    def statutes(self) -> tuple[Law, ...]:
        """Every single law, with its statement and its count of violations."""
        return tuple(law for family in self.laws for law in family.laws)

    @property
    def checked(self) -> tuple[str, ...]:
        """The names of all laws."""
        return tuple(law.name for law in self.statutes)

    def finish(self) -> tuple[Broken, ...]:
        """To be called once, after the last entry: the violations that were kept, in the order of their times."""
        for family in self.laws:
            family.finish(self._passage.now_ps)
        return tuple(sorted((broken for law in self.statutes for broken in law.kept), key=lambda broken: broken.at_ps))
