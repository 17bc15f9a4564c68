"""Which machines, and how many for each phase: a plan's question, answered by as few runs as it takes."""
