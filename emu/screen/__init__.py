"""What a person sees of a run in a terminal: progress while it lasts, a report at its end. Runs nothing."""
