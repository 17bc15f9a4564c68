"""Why some planted bugs were not found: read, bug by bug, after the hunts."""

WHY = {
    "free-while-pinned": "changes nothing: owners let go after the last put ended, and a pin is never the last hold.",
    "unpin-forgets": "changes nothing: the owner always lets go last, and that frees the blocks.",
    "stale-follow": "changes nothing: once the prefill has ended, `follow` is not read again.",
    "one-token-more": "changes nothing here: the emulated worker ends an answer at what its client asked for.",
    "last-step-late": "changes nothing here: the emulated worker ends an answer at what its client asked for.",
    "away-miscounted": "changes nothing that is recorded: the router is woken more often than it need be.",
    "never-home": "Time only, and of the router alone: a machine comes home at the next arrival, not the next end.",
    "sweep-stops": "Time only: the next sweep finds the next expired lease.",
    "ready-at-the-back": "Time only: no law holds the order in which sequences that sat out come back.",
    "recomputing-uncounted": "A load report that is low by one sequence for one step; no situation turned on it.",
    "unfair-tie": "Read only under round-robin with memory to spare, one situation in about twenty.",
    "goes-home-too-soon": "No law holds what a machine has left to do when it goes home; borrowing is rarely drawn.",
}
