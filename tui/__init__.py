"""The cockpit: a record on a terminal, played, stopped, stepped through; and a run beside it that can be steered."""
