"""What happened, as data: entries, the log that digests them, and folds over them. Never decides anything."""
