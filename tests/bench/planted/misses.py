"""Why some planted bugs were not found: read, bug by bug, after the hunts."""

WHY = {
    "free-while-pinned": "changes nothing: owners let go after the last put ended, and a pin is never the last hold.",
    "unpin-forgets": "changes nothing: the owner always lets go last, and that frees the blocks.",
    "stale-follow": "changes nothing: once the prefill has ended, `follow` is not read again.",
    "one-token-more": "changes nothing here: the emulated worker ends an answer at what its client asked for.",
    "last-step-late": "changes nothing here: the emulated worker ends an answer at what its client asked for.",
    "away-miscounted": "changes nothing that is recorded: the router is woken more often than it need be.",
    "never-home": "Time only, and of the router alone: a machine comes home at the next arrival, not the next end.",
    "sweep-stops": "Time only: the next sweep finds the next expired lease. It changed 1 to 4 records of 600.",
    "leap-sees-old-blocks": "Seldom reached: a reservation must come in the middle of a leap that has grown, on "
    "a machine that is short of blocks and has other transfers open; 1 record of 600 changed, and broke a law.",
    "leap-goes-on": "Seldom reached: a grant in the middle of a leap must take the last blocks that it counted on.",
    "forgets-to-leave": "Not reached: a sequence must be preempted, come back, and then sit out a mixed batch.",
    "recomputing-uncounted": "Not reached: a load report that is low by one for one step must decide a choice.",
    "cancels-half": "Time only, and little of it: a newer attempt on the same machine ends the older one there, and "
    "another machine's blocks come back with the lease. It changed 46 records of 800.",
    "orphans-forgotten": "Time only: without the router's word, the lease of the lost cache ends and says the same.",
    "never-unstranded": "Seldom reached: all machines of a pool must be gone at once while a request arrives.",
    "old-epochs-admitted": "Seldom reached: a message must be under way while its machine is dead and comes back.",
}
