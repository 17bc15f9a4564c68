"""Words: entries, requests and reasons as a person says them. Pure text; which entries to say is decided elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from emu.record import entries as e
from emu.record.start import RunStarted
from emu.view.cluster import POOL_WORDS, seconds

STATUS_WORDS: Final = tuple(status.name.lower() for status in e.Status)
PLACEMENT_WORDS: Final = (
    "",
    "shortest queues of both pools",
    "a mixed machine prefills",
    "a decode machine is borrowed",
    "a mixed machine decodes",
    "every queue is full",
)


def reason(code: int) -> str:
    """Why, in lower case: `kv capacity`."""
    return e.Reason(code).name.lower().replace("_", " ")


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"


class Words:
    """Entries of one record in words, one line each, without their times."""

    def __init__(self, started: RunStarted) -> None:
        self._names = tuple(machine.name for machine in started.machines)
        self._say: dict[type, Callable[[Any], str]] = {
            e.Arrived: lambda x: (
                f"r{x.request} arrived: {x.prompt_tokens:,} prompt tokens, asks {x.max_tokens:,} at most"
            ),
            e.Assigned: self._assigned,
            e.MachineMoved: lambda x: (
                f"{self.name(x.machine)} serves the {POOL_WORDS[x.pool]} pool, home {POOL_WORDS[x.home]}"
            ),
            e.Queued: lambda x: f"r{x.request} queued for prefill on {self.name(x.machine)}",
            e.ReserveQueued: lambda x: f"r{x.request} waits for {x.blocks} blocks on {self.name(x.machine)}",
            e.Reserved: lambda x: f"r{x.request} reserved {x.blocks} blocks on {self.name(x.machine)} (loan {x.loan})",
            e.Granted: lambda x: f"r{x.request} granted: {self.name(x.machine)} may put",
            e.StepStarted: self._step_started,
            e.StepFinished: self._step_finished,
            e.TransferStarted: self._transfer_started,
            e.Landed: self._landed,
            e.Committed: lambda x: (
                f"r{x.request} committed on {self.name(x.machine)}: {x.layers} layers, {x.blocks} blocks"
            ),
            e.Released: self._released,
            e.Preempted: lambda x: (
                f"r{x.request} preempted on {self.name(x.machine)} after {x.delivered} tokens, {x.blocks} blocks back"
            ),
            e.RequestEnded: self._ended,
            e.MachineClosed: lambda x: (
                f"{self.name(x.machine)} closed with {x.free_blocks:,} of {x.kv_blocks:,} blocks free"
            ),
            e.BeliefClosed: lambda x: f"the router believes in {x.free_blocks:,} free blocks on {self.name(x.machine)}",
            e.StepsCut: lambda x: (
                f"{self.name(x.machine)} stopped dead in a batch of {x.sequences} sequences, after {x.steps} steps"
            ),
            e.MachineDead: lambda x: f"the router takes {self.name(x.machine)} for dead ({reason(x.reason)})",
            e.MachineBack: lambda x: f"{self.name(x.machine)} is back, as incarnation {x.incarnation}",
            e.AttemptLost: lambda x: f"r{x.request} lost its attempt {x.attempt} ({reason(x.reason)})",
            e.AttemptEnded: lambda x: (
                f"r{x.request}'s attempt {x.attempt} is over on {self.name(x.machine)} ({reason(x.reason)}), "
                f"{x.blocks} blocks back"
            ),
            e.Resumed: lambda x: f"r{x.request} goes on in attempt {x.attempt} behind {x.delivered} tokens",
            e.FaultStruck: self._struck,
            e.FaultHealed: lambda x: f"{e.FaultCode(x.kind).word} of {self._whom(x.machine, x.peer)} is healed",
            e.MachineCrashed: lambda x: (
                f"{self.name(x.machine)} is gone, with all that incarnation {x.incarnation} had in memory"
            ),
            e.MachineStarted: lambda x: f"{self.name(x.machine)} starts, as incarnation {x.incarnation}",
            e.LandedNowhere: lambda x: (
                f"r{x.request}'s put from {self.name(x.source)} to {self.name(x.target)} landed nowhere"
            ),
            e.MachineLeft: lambda x: f"{self.name(x.machine)} is away, with nothing left in it",
            e.Resent: lambda x: f"r{x.request} is sent again by its client, for the {x.times}. time",
            e.PolicyBroke: lambda x: (
                f"a policy broke its contract on {self.name(x.machine)} (seat {x.seat}, {x.fault})"
            ),
            e.RateChanged: lambda x: (
                f"requests arrive {x.permille / 1000:g} times as densely as the workload has them, from now on"
            ),
            e.RouterGone: lambda x: f"the router of term {x.term} is gone",
            e.RouterStarted: lambda x: f"a router of term {x.term} takes over, and asks every machine what it has",
            e.TermTaken: lambda x: f"{self.name(x.machine)} obeys the router of term {x.term}, and no older one",
            e.RunEnded: lambda x: f"the run ended with {x.open_requests} open requests and {x.transfers} transfers",
        }

    def name(self, machine: int) -> str:
        return self._names[machine] if 0 <= machine < len(self._names) else "the router"

    def say(self, entry: e.Entry) -> str:
        """`r41 queued for prefill on prefill-0`."""
        return self._say[type(entry)](entry)

    def line(self, entry: e.Entry) -> str:
        """With its time in front, in seconds to a microsecond."""
        return f"{entry[0] / 10**12:14.6f}  {self.say(entry)}"

    def _whom(self, machine: int, peer: int) -> str:
        names = [self.name(each) for each in (machine, peer) if each >= 0]
        return " to ".join(names) if names else "the router"

    def _struck(self, entry: e.FaultStruck) -> str:
        if entry.request >= 0 and entry.machine < 0:
            return f"FAULT {e.FaultCode(entry.kind).word.replace('_', ' ')}: r{entry.request}"
        whom = f" (r{entry.request})" if entry.request >= 0 else ""
        word = e.FaultCode(entry.kind).word.replace("_", " ")
        return f"FAULT {word}: {self._whom(entry.machine, entry.peer)}{whom}, with {entry.live} open requests"

    def _assigned(self, entry: e.Assigned) -> str:
        where = f"prefill on {self.name(entry.prefill_machine)}, decode on {self.name(entry.decode_machine)}"
        again = f" attempt {entry.attempt}" if entry.attempt else ""
        return (
            f"r{entry.request}{again} assigned: {where}; the router believed in {entry.believed_prompt_tokens:,} "
            f"queued tokens and {entry.believed_free_blocks:,} free blocks"
        )

    def _step_started(self, entry: e.StepStarted) -> str:
        parts = []
        if entry.prefills:
            tokens = sum(piece.tokens for piece in entry.prefills)
            parts.append(f"prefills {_list(piece.request for piece in entry.prefills)} ({tokens:,} tokens)")
        if entry.sequences:
            joined = f", {_list(entry.joined)} joined" if entry.joined else ""
            left = f", {_list(entry.left)} left" if entry.left else ""
            several = "s" if entry.sequences > 1 else ""
            parts.append(f"decodes {entry.sequences} sequence{several}{joined}{left}")
        return f"{self.name(entry.machine)} {' and '.join(parts)}; {entry.free_blocks:,} blocks free"

    def _step_finished(self, entry: e.StepFinished) -> str:
        steps = "1 step" if entry.steps == 1 else f"{entry.steps} steps"
        return f"{self.name(entry.machine)} ended {steps} in {seconds(entry.at_ps - entry.started_ps)}"

    def _transfer_started(self, entry: e.TransferStarted) -> str:
        way = f"{self.name(entry.source)} to {self.name(entry.target)}"
        how = " as they are computed" if entry.follows else ""
        layers = f"layers {entry.first_layer} to {entry.last_layer}"
        return f"r{entry.request} put from {way}: {layers}{how}, {megabytes(entry.bytes)}"

    def _landed(self, entry: e.Landed) -> str:
        layers = f"layers {entry.first_layer} to {entry.last_layer}"
        return f"r{entry.request} landed on {self.name(entry.target)}: {layers}, {megabytes(entry.bytes)}"

    def _released(self, entry: e.Released) -> str:
        why = reason(entry.reason)
        return f"r{entry.request} released {entry.blocks} blocks on {self.name(entry.machine)} ({why})"

    def _ended(self, entry: e.RequestEnded) -> str:
        how = STATUS_WORDS[entry.status]
        why = f" ({reason(entry.reason)})" if entry.reason else ""
        return f"r{entry.request} {how}{why} with {entry.output_tokens} tokens, on {self.name(entry.machine)}"


def _list(requests: Any, most: int = 6) -> str:
    named = [f"r{request}" for request in requests]
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more
