"""Fuzzing of schedulers: situations are drawn, run to their end under all laws, and what breaks one comes back small.

A situation is a scenario that fits on a page: a cluster, its requests written out, faults and an interleaving as data.
What happens in a run is `emu.run`'s and what must hold is `emu.laws`'s; nothing here knows a protocol.
"""
