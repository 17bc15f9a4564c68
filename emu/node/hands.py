"""Hands: what a machine's core commands is done through the ports, and written down.

One method a command, and nothing decided here: when commands come, and what they answer, is between core and node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emu.control import commands as c
from emu.control.machine import Machine
from emu.node.checksums import Checksums
from emu.node.codes import REASONS
from emu.node.ports import MachinePorts
from emu.node.steps import Steps
from emu.record import entries as e


class Hands:
    """Those of one machine, which call themselves by its index."""

    def __init__(self, core: Machine, ports: MachinePorts, steps: Steps, checksums: Checksums | None) -> None:
        self.signalled_ps: dict[tuple[int, int], int] = {}  # when signals came that the core has not seen yet
        self._index = core.rules.index
        self._clock, self._link, self._wire, self._client = ports.clock, ports.link, ports.wire, ports.client
        self._write, self._steps = ports.recorder.write, steps
        self._ways: dict[type, Callable[[Any], None]] = {
            c.Send: self._send,
            c.Report: lambda report: ports.wire.report(report.message),
            c.Lend: self._lend,
            c.Put: self._put,
            c.MakeOffer: self._send,
            c.Fetch: self._fetch,
            c.PostSignal: ports.link.signal,
            c.WatchDrain: lambda watch: ports.link.watch(watch.request_id, watch.attempt),
            c.Commit: self._commit,
            c.Release: self._release,
            c.Preempt: self._preempt,
            c.End: lambda end: ports.client.ended(self._index, end),
            c.AttemptOver: self._attempt_over,
        }
        if checksums is not None:
            self._ways[c.MakeOffer] = lambda make: self._send(checksums.with_offer(make))
            self._ways[c.PostSignal] = lambda post: ports.link.signal(checksums.with_signal(post))

    def carry_out(self, commands: tuple[c.Command, ...]) -> None:
        """All of them, in their order."""
        for command in commands:
            self._ways[type(command)](command)

    def _send(self, send: c.Send | c.MakeOffer) -> None:
        self._wire.send(send.machine, send.message)

    def _lend(self, lend: c.Lend) -> None:
        grant = lend.message
        key = (grant.request_id, grant.attempt)
        entry = e.Reserved(self._clock.now(), self._index, *key, grant.loan, lend.blocks, lend.reserve_sent_ps)
        self._write(entry)
        self._wire.send(lend.machine, grant)

    def _put(self, put: c.Put) -> None:
        moved = self._link.put(put)
        key = (put.request_id, put.attempt)
        now, follow = self._clock.now(), int(put.follow)
        self._write(e.TransferStarted(now, self._index, put.target, *key, *put.layers, moved, follow))

    def _fetch(self, fetch: c.Fetch) -> None:
        put, now = fetch.put, self._clock.now()
        key = (put.request_id, put.attempt)
        if fetch.first:
            self._write(e.Reserved(now, self._index, *key, put.target_loan, fetch.blocks, fetch.asked_ps))
        moved = self._link.get(fetch.source, put, fetch.done)
        self._write(e.TransferStarted(now, fetch.source, self._index, *key, *put.layers, moved, 0))

    def _commit(self, commit: c.Commit) -> None:
        message = commit.message
        key = (message.request_id, message.attempt)
        layers = sum(last - first + 1 for first, last in commit.layers)
        held = (commit.loan, commit.blocks, self.signalled_ps[key])
        self._write(e.Committed(self._clock.now(), self._index, *key, layers, *held))
        self._wire.send(commit.machine, message)

    def _release(self, r: c.Release) -> None:
        held = (r.loan, r.blocks, REASONS[r.reason], r.sent_ps)
        self._write(e.Released(self._clock.now(), self._index, r.request_id, r.attempt, *held))

    def _preempt(self, p: c.Preempt) -> None:
        now = self._clock.now()
        self._write(e.Preempted(now, self._index, p.request_id, p.attempt, p.delivered, p.loan, p.blocks))

    def _attempt_over(self, over: c.AttemptOver) -> None:
        if not self._steps.running:
            self._steps.close()  # what it has delivered is told before
        now, reason = self._clock.now(), REASONS[over.reason]
        key = (over.request_id, over.attempt)
        self._write(e.AttemptEnded(now, self._index, *key, reason, over.delivered, over.loan, over.blocks))
