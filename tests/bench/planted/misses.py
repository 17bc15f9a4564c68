"""Why some planted bugs were not found, and mutants not killed: read, one by one, after the hunts."""

WHY = {
    "free-while-pinned": "changes nothing: owners let go after the last put ended, and a pin is never the last hold. "
    "No record of 500 changed (`reach_planted`), and what would change is a state that no core comes into.",
    "unpin-forgets": "changes nothing: the owner always lets go last, and that frees the blocks. No record of 500 "
    "changed.",
    "stale-follow": "changes nothing: once the prefill has ended, a grant puts at once and `follow` is not read again. "
    "No record of 500 changed.",
    "sweep-stops": "Seldom: a lease must end behind one that goes on, and its blocks must be nobody's meanwhile. It "
    "changes 4 records of 300, and breaks the promise of how long they are held in 1.",
    "leap-sees-old-blocks": "Seldom reached: a reservation must come in the middle of a leap that has grown, on "
    "a machine that is short of blocks and has other transfers open.",
    "leap-goes-on": "Seldom reached: a grant in the middle of a leap must take the last blocks that it counted on. "
    "It changed no record of 200; an earlier run found it after 660 examples.",
    "counts-back": "Not understood yet: on the state of the code that is landed it is seen in 2 of 200 situations, by "
    "what the router believes of prompts.",
    "orphans-forgotten": "Seldom judged: it changes 6 records of 300, mostly beside faults that touch what the router "
    "and machines tell each other, where nothing is promised of when an orphan is heard of but that its lease ends.",
    "old-epochs-admitted": "Seldom reached: a message must be under way while its machine is dead and comes back.",
    "acknowledged-once": "Seldom judged: it changes 4 records of 300, most where a lease ends what is not said again.",
}

SORTED = {
    "- while decoder.ready and len(decoder.running) < decoder.limit: "
    "+ while decoder.ready and len(decoder.running) != decoder.limit:": "equivalent: one joins at a time",
    "- if len(self._heap) > 64 + 4 * len(self._current): "
    "+ if len(self._heap) > 64 - 4 * len(self._current):": "equivalent but for the time that ranking takes",
    "- if self.rules.queue_limit_requests and len(self.open) >= self.rules.queue_limit_requests: "
    "+ if self.rules.queue_limit_requests and len(self.open) is self.rules.queue_limit_requests:": "equivalent: "
    "more are never open, and small numbers are one object",
    "- if key in self.early: + if not key in self.early:": "missed then; killed by 60 examples of today (`no-regret`)",
}
"""Surviving mutants by what differs: equivalent, time only, or missed."""
