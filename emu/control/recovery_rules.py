"""RecoveryRules: what the router is told of how to go on after a failure. What it decides by them is its core's."""

from __future__ import annotations

from attrs import frozen


@frozen(eq=False, repr=False)
class RecoveryRules:
    """How often and how soon a request is tried again."""

    max_attempts: int = 4
    resume: bool = False  # an attempt begins behind the tokens that its client has, and not from scratch
    retry_backoff_ps: int = 10**11  # before the second attempt; twice as long before each further one
    poison_limit: int = 2  # machines that die under a request before it is suspected
    suspects_apart_ps: int = 32 * 10**12
    patience_ps: int = 60 * 10**12  # how long a request waits for machines while there are none for it
    ask_again_ps: int = 10**11  # a machine that a new router has asked, and that has not answered
    answer_within_ps: int = 10**12  # after which such a machine is dead
    audit_ps: int = 0  # machines are asked so often for what they know of the open attempts; 0: no message is ever lost
