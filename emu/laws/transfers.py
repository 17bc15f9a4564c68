"""Transfers of KV caches: into live reservations, whole before they are used, byte for byte what was started.

A transfer is known from its Reserved entry, by request and attempt, until its loan at the target comes back; writes
that land after that break a law. Who may transfer when is judged in `lives`, the account of blocks in `loans`.
"""

from __future__ import annotations

from typing import Final

from attrs import define

from emu.laws.asked import Asked
from emu.laws.verdicts import Handlers, Law, LawRules, Names
from emu.record import entries as e

_GIVEN_UP: Final = frozenset(
    int(reason)
    for reason in (
        e.Reason.ABANDONED,
        e.Reason.EXPIRED,
        e.Reason.LEASE_EXPIRED,
        e.Reason.KV_CAPACITY,
        e.Reason.QUARANTINED,
        e.Reason.CANCELLED,
    )
)
_ACKNOWLEDGED: Final = int(e.Reason.ACKNOWLEDGED)


@define(eq=False, repr=False)
class _Transfer:
    """One attempt's reservation at its target. Layers are bits; `flying` bytes are posted and have not landed."""

    target: int
    loan: int
    reserved_ps: int
    prompt_tokens: int
    blocks: int  # that the prompt's cache fills
    posted: int = 0
    landed: int = 0
    flying_bytes: int = 0
    committed: bool = False


class Transfers:
    """Laws: no-write-after-free, commit-exact, bytes-landed, reservation-kept."""

    def __init__(self, names: Names, rules: LawRules, asked: Asked) -> None:
        self.after_free = Law(
            "no-write-after-free", "A put lands in the loan that its attempt was granted, while that loan is out."
        )
        self.exact = Law(
            "commit-exact",
            "A commit names all layers, the blocks of the prompt and the loan granted, and all have landed.",
        )
        self.bytes_landed = Law(
            "bytes-landed",
            "Bytes landed = bytes started = prompt tokens x kv_bytes_per_token x layers put / layers, and only then.",
        )
        self.kept = Law(
            "reservation-kept",
            "A granted reservation ends in a commit, or is released because the transfer was given up; never both.",
        )
        self.laws = (self.after_free, self.exact, self.bytes_landed, self.kept)
        self._names, self._asked = names, asked
        self._layers, self._token_bytes = rules.layers, rules.kv_bytes_per_token
        self._whole = (1 << rules.layers) - 1
        self._open: dict[tuple[int, ...], _Transfer] = {}
        self._lost_bytes = 0  # started for transfers that are over, and not landed when they were
        self._wiped: set[tuple[int, ...]] = set()  # whose target has crashed, so that their puts land nowhere
        self.handlers: Handlers = {
            e.Reserved: self._reserved,
            e.Granted: self._granted,
            e.TransferStarted: self._started,
            e.Landed: self._landed,
            e.Committed: self._committed,
            e.Released: self._released,
            e.Preempted: self._preempted,
            e.RequestEnded: self._ended,
            e.AttemptEnded: self._attempt_ended,
            e.LandedNowhere: self._landed_nowhere,
            e.MachineCrashed: self._crashed,
        }

    def finish(self, at_ps: int) -> None:
        for key, transfer in self._open.items():
            where = f"loan {transfer.loan} of {self._names[transfer.target]}"
            if not transfer.committed:
                self.kept.broken(at_ps, f"request {key[0]} was granted {where}, neither committed nor released")
            self._lost_bytes += transfer.flying_bytes
        if self._lost_bytes:
            self.bytes_landed.broken(at_ps, f"{self._lost_bytes} bytes were started and never landed")

    def _reserved(self, entry: e.Reserved) -> None:
        at_ps, machine, request, attempt, loan, _, _ = entry
        asked = self._asked
        prompt_tokens = asked.prompt_tokens[request] + asked.behind(request, attempt)
        key = (request, attempt)
        if key in self._open:
            earlier = self._open[key]
            what = f"request {request} was granted loan {loan} and had loan {earlier.loan} already"
            self.kept.broken(at_ps, what)
        blocks = -(-prompt_tokens // asked.block_tokens)
        self._open[key] = _Transfer(machine, loan, at_ps, prompt_tokens, blocks)

    def _granted(self, entry: e.Granted) -> None:
        transfer = self._open.get(entry[2:4])
        if transfer is not None and entry.sent_ps < transfer.reserved_ps:  # None: it was given up meanwhile
            what = f"{self._names[entry.machine]} was granted blocks for request {entry.request} not reserved yet"
            self.kept.broken(entry.at_ps, what)

    def _started(self, entry: e.TransferStarted) -> None:
        at_ps, _, target, request, attempt, first, last, moved, _ = entry
        transfer = self._open.get((request, attempt))
        if (request, attempt) in self._wiped:
            self._lost_bytes += moved
            return
        if transfer is None or transfer.target != target:
            what = f"a put for request {request} started to {self._names[target]}, which has no blocks reserved for it"
            self.after_free.broken(at_ps, what)
            self._lost_bytes += moved
            return
        transfer.posted |= ((1 << (last - first + 1)) - 1) << first
        transfer.flying_bytes += moved
        if moved != transfer.prompt_tokens * self._token_bytes * (last - first + 1) // self._layers:
            self._wrong_bytes(at_ps, request, transfer, first, last, moved)

    def _landed(self, entry: e.Landed) -> None:
        at_ps, target, request, attempt, loan, first, last, blocks, moved = entry
        transfer = self._open.get((request, attempt))
        if transfer is None or transfer.loan != loan or transfer.target != target:
            what = (
                f"a put for request {request} landed in loan {loan} of {self._names[target]}, which is not out for it"
            )
            self.after_free.broken(at_ps, what)
            self._lost_bytes -= moved
            return
        layers = ((1 << (last - first + 1)) - 1) << first
        transfer.landed |= layers
        transfer.flying_bytes -= moved
        if layers & ~transfer.posted or transfer.flying_bytes < 0:
            what = f"layers {first} to {last} of request {request} landed on {self._names[target]} and were never put"
            self.bytes_landed.broken(at_ps, what)
        if blocks != transfer.blocks:
            what = f"a put for request {request} landed in {blocks} blocks, its prompt fills {transfer.blocks}"
            self.after_free.broken(at_ps, what)
        if moved != transfer.prompt_tokens * self._token_bytes * (last - first + 1) // self._layers:
            self._wrong_bytes(at_ps, request, transfer, first, last, moved)

    def _landed_nowhere(self, entry: e.LandedNowhere) -> None:
        transfer = self._open.get((entry.request, entry.attempt))
        if transfer is not None and transfer.target == entry.target:
            transfer.flying_bytes -= entry.bytes
            transfer.posted &= ~(((1 << (entry.last_layer - entry.first_layer + 1)) - 1) << entry.first_layer)
        else:
            self._lost_bytes -= entry.bytes

    def _crashed(self, entry: e.MachineCrashed) -> None:
        gone = [(key, transfer) for key, transfer in self._open.items() if transfer.target == entry.machine]
        for key, transfer in gone:
            self._wiped.add(key)
            self._forget(key, transfer)

    def _wrong_bytes(self, at_ps: int, request: int, transfer: _Transfer, first: int, last: int, moved: int) -> None:
        what = f"layers {first} to {last} of request {request}, {transfer.prompt_tokens} tokens, went as {moved} bytes"
        self.bytes_landed.broken(at_ps, what)

    def _committed(self, entry: e.Committed) -> None:
        at_ps, machine, request, _, layers, loan, blocks, _ = entry
        transfer = self._open.get(entry[2:4])
        if transfer is None or transfer.target != machine or transfer.loan != loan:
            what = f"request {request} was committed in loan {loan} of {self._names[machine]}, which it was not granted"
            self.exact.broken(at_ps, what)
            return
        if transfer.committed:
            self.exact.broken(at_ps, f"request {request} was committed twice on {self._names[machine]}")
        transfer.committed = True
        if layers != self._layers or blocks != transfer.blocks or transfer.landed != self._whole:
            self.exact.broken(
                at_ps,
                f"request {request} was committed on {self._names[machine]} with {layers} of {self._layers} layers in "
                f"{blocks} of {transfer.blocks} blocks, and {transfer.landed.bit_count()} layers had landed",
            )

    def _released(self, entry: e.Released) -> None:
        at_ps, machine, request, _, loan, _, reason, _ = entry
        key = entry[2:4]
        transfer = self._open.get(key)
        if transfer is None:
            return
        if transfer.target != machine or transfer.loan != loan:
            if reason == _ACKNOWLEDGED and not transfer.committed:
                what = f"{self._names[machine]} released the cache of request {request} as acknowledged, not committed"
                self.exact.broken(at_ps, what)
            return
        if transfer.committed or reason not in _GIVEN_UP:
            state = "committed" if transfer.committed else "granted"
            what = f"loan {loan} of {self._names[machine]}, {state} to request {request}, was taken away ({reason})"
            self.kept.broken(at_ps, what)
        self._forget(key, transfer)

    def _preempted(self, entry: e.Preempted) -> None:
        self._gave_back(entry.at_ps, entry.machine, (entry.request, entry.attempt), entry.loan)

    def _ended(self, entry: e.RequestEnded) -> None:
        self._gave_back(entry[0], entry[1], entry[2:4], entry[8])

    def _attempt_ended(self, entry: e.AttemptEnded) -> None:
        self._gave_back(entry[0], entry[1], entry[2:4], entry[6])

    def _gave_back(self, at_ps: int, machine: int, key: tuple[int, ...], loan: int) -> None:
        """A request on `machine` gave a loan back: of its transfer to there, if it was that one."""
        transfer = self._open.get(key)
        if transfer is not None and transfer.target == machine and transfer.loan == loan:
            if not transfer.committed:
                what = f"request {key[0]} gave back loan {loan} of {self._names[machine]} before its commit"
                self.kept.broken(at_ps, what)
            self._forget(key, transfer)

    def _forget(self, key: tuple[int, ...], transfer: _Transfer) -> None:
        self._lost_bytes += transfer.flying_bytes
        del self._open[key]
