"""Why some planted bugs were not found: read, bug by bug, after the hunts."""

WHY = {
    "free-while-pinned": "changes nothing: owners let go after the last put ended, and a pin is never the last hold.",
    "unpin-forgets": "changes nothing: the owner always lets go last, and that frees the blocks.",
    "stale-follow": "changes nothing: once the prefill has ended, `follow` is not read again.",
    "one-token-more": "changes nothing here: the emulated worker ends an answer at what its client asked for.",
    "last-step-late": "changes nothing here: the emulated worker ends an answer at what its client asked for.",
    "away-miscounted": "changes nothing that is recorded: the router is woken more often than it need be.",
}
