"""From a table of measured steps to a profile of costs. Never runs during an emulation."""
