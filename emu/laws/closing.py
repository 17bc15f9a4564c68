"""The last entries of a record: nothing is left on any machine, and the router believes what is true.

Requests that did not end are named in `lives`.
"""

from __future__ import annotations

from emu.laws.verdicts import Handlers, Law, Names
from emu.record.entries import BeliefClosed, MachineClosed, MachineCrashed, MachineLeft, MachineStarted, RunEnded
from emu.record.start import RunStarted


class Closing:
    """Laws: machines-empty, belief-true, machines-home, run-closed."""

    def __init__(self, names: Names, started: RunStarted) -> None:
        self.machines_empty = Law(
            "machines-empty",
            "At the end every machine has all of its KV blocks free, and no loan, request or transfer.",
        )
        self.belief_true = Law(
            "belief-true", "At the end the router believes in 0 pending tokens, 0 sequences and all blocks free."
        )
        self.machines_home = Law("machines-home", "At the end every machine serves its home pool.")
        self.run_closed = Law(
            "run-closed",
            "At the end the router has 0 open requests and the links 0 transfers, and all machines that are up closed.",
        )
        self.laws = (self.machines_empty, self.belief_true, self.machines_home, self.run_closed)
        self._names = names
        self._capacity = [machine.kv_blocks for machine in started.machines]
        self._closed: set[int] = set()
        self._believed: set[int] = set()
        self._down: set[int] = set()
        self._over = False
        self.handlers: Handlers = {
            MachineClosed: self._machine_closed,
            BeliefClosed: self._belief_closed,
            RunEnded: self._run_ended,
            MachineCrashed: lambda entry: self._down.add(entry.machine),
            MachineLeft: lambda entry: self._down.add(entry.machine),
            MachineStarted: lambda entry: self._down.discard(entry.machine),
        }

    def finish(self, at_ps: int) -> None:
        if not self._over:
            self.run_closed.broken(at_ps, "the record stops without RunEnded")
        for machine in range(len(self._capacity)):
            if machine not in self._believed or (machine not in self._closed) is (machine not in self._down):
                self.run_closed.broken(at_ps, f"{self._names[machine]} was not closed, or the router's belief of it")

    def _machine_closed(self, entry: MachineClosed) -> None:
        at_ps, machine, kv_blocks, free_blocks, *left = entry
        self._closed.add(machine)
        if kv_blocks != self._capacity[machine] or free_blocks != kv_blocks or any(left):
            names = zip(MachineClosed._fields[4:], left, strict=True)
            rest = ", ".join(f"{name} {count}" for name, count in names if count)
            what = f"{self._names[machine]} closed with {free_blocks} of {self._capacity[machine]} blocks free; {rest}"
            self.machines_empty.broken(at_ps, what)

    def _belief_closed(self, entry: BeliefClosed) -> None:
        at_ps, machine, pending_tokens, sequences, free_blocks, pool, home = entry
        self._believed.add(machine)
        if pending_tokens or sequences or free_blocks != self._capacity[machine]:
            self.belief_true.broken(
                at_ps,
                f"the router believes that {self._names[machine]} has {pending_tokens} pending tokens, {sequences} "
                f"sequences and {free_blocks} of {self._capacity[machine]} blocks free",
            )
        if pool != home:
            self.machines_home.broken(at_ps, f"{self._names[machine]} serves pool {pool}, its home is pool {home}")

    def _run_ended(self, entry: RunEnded) -> None:
        self._over = True
        if entry.open_requests or entry.transfers:
            what = f"the router has {entry.open_requests} open requests, the links {entry.transfers} transfers"
            self.run_closed.broken(entry.at_ps, what)
