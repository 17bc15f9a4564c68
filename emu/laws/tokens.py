"""Tokens and who makes them: each request's tokens are counted by the steps of the batches that it was in.

Nothing here visits a sequence at a step: a machine's steps are counted, and a sequence remembers the count at its
joining. An attempt that was given up is still counted where it runs. How long steps take is judged in `steps`.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from emu.laws.asked import Asked
from emu.laws.verdicts import Handlers, Law, LawRules, Names
from emu.record import entries as e

_RECOMPUTE: Final = int(e.SliceKind.RECOMPUTE)


@define(eq=False, repr=False)
class _Count:
    """The tokens of an open request: `tokens` as of step `base` of the machine where it decodes, if it does."""

    prompt_tokens: int
    tokens: int = 0
    base: int = 0
    machine: int = -1  # where it decodes
    home: int = -1  # where its cache is
    attempt: int = 0
    behind: int = 0  # tokens that earlier attempts have made, whose cache is part of its prompt's
    preemptions: int = 0


@define(eq=False, repr=False)
class _Machine:
    """One machine: `steps` of its decoding sequences so far, and what its next step reads."""

    steps: int = 0
    context_tokens: int = 0
    decoding: dict[int, _Count] = field(factory=dict)
    prefilling: list[_Count] = field(factory=list)


class Tokens:
    """Laws: tokens-once, batch-members, context-sum, preemptions-bounded."""

    def __init__(self, names: Names, rules: LawRules, asked: Asked, machines: int) -> None:
        self.once = Law(
            "tokens-once",
            "Token k is delivered once and after token k - 1: a request's tokens are one of each prefill and one of "
            "each decode step that it was in, at most max_tokens.",
        )
        self.members = Law(
            "batch-members",
            "A batch's sequences are those of the last one, less `left`, which were in it, plus `joined`.",
        )
        self.context_sum = Law(
            "context-sum", "A batch's first step reads the prompt and delivered tokens of its sequences, no others."
        )
        self.preemptions = Law(
            "preemptions-bounded",
            "No request is preempted more than max_preemptions times while one that was preempted less runs beside it.",
        )
        self.laws = (self.once, self.members, self.context_sum, self.preemptions)
        self._names, self._asked, self._most = names, asked, rules.max_preemptions
        self._counts: dict[int, _Count] = {}
        self._given_up: dict[int, list[_Count]] = {}  # by request: attempts that may still run somewhere
        self._machines = [_Machine() for _ in range(machines)]
        self.handlers: Handlers = {
            e.StepStarted: self._started,
            e.StepFinished: self._finished,
            e.Committed: self._committed,
            e.Preempted: self._preempted,
            e.RequestEnded: self._ended,
            e.StepsCut: self._finished,
            e.MachineCrashed: self._crashed,
            e.AttemptLost: self._attempt_lost,
            e.AttemptEnded: self._attempt_ended,
        }

    def finish(self, at_ps: int) -> None:
        for machine, state in enumerate(self._machines):
            for request, count in state.decoding.items():
                tokens = count.tokens + state.steps - count.base
                if tokens > self._asked.max_tokens[request]:
                    self.once.broken(at_ps, f"request {request} has {tokens} tokens on {self._names[machine]}")

    def _started(self, entry: e.StepStarted) -> None:
        at_ps, machine, prefills, joined, left, sequences, context_tokens, _, _, _ = entry
        state, counts = self._machines[machine], self._counts
        decoding, steps, sum_tokens = state.decoding, state.steps, state.context_tokens
        for request in left:
            count = decoding.pop(request, None)
            if count is None:
                self.members.broken(at_ps, f"request {request} left a batch of {self._names[machine]} without being in")
                continue
            made = count.tokens + steps - count.base
            sum_tokens -= count.prompt_tokens + made
            if count.machine == machine:  # it goes on, and sits out
                count.tokens, count.machine = made, -1
        for piece in prefills:
            self._prefill(at_ps, machine, piece)
        for request in joined:
            count = counts.get(request) if request not in self._given_up else self._at(machine, request)
            if count is None or count.machine != -1 or not count.tokens or request in decoding:
                self.members.broken(at_ps, f"request {request} joined {self._names[machine]} and could not decode")
                continue
            count.base = steps
            count.machine = machine
            decoding[request] = count
            sum_tokens += count.prompt_tokens + count.tokens
        state.context_tokens = sum_tokens
        if sequences != len(decoding):
            what = f"{self._names[machine]} decodes {sequences} sequences, {len(decoding)} have joined and not left"
            self.members.broken(at_ps, what)
        if context_tokens != sum_tokens:
            what = f"{self._names[machine]} reads {context_tokens} tokens, its sequences have {sum_tokens}"
            self.context_sum.broken(at_ps, what)
            state.context_tokens = context_tokens

    def _prefill(self, at_ps: int, machine: int, piece: e.PrefillSlice) -> None:
        request, attempt, first, tokens, kind, _, _ = piece
        count = self._of(request, attempt)
        if count is None:
            count = self._begun(request, attempt)
            given_up = self._given_up.get(request)
            if given_up is not None and attempt < max(old.attempt for old in given_up):
                given_up.append(count)  # of a router that was superseded
            else:
                self._counts[request] = count
        count.home = machine
        expected = count.prompt_tokens + count.tokens
        if first or tokens != expected or (kind == _RECOMPUTE) != (count.tokens > count.behind):
            what = f"request {request} was prefilled from position {first} over {tokens} tokens, expected {expected}"
            self.once.broken(at_ps, what)
        if count.machine >= 0:
            self.members.broken(at_ps, f"request {request} was prefilled while it decoded")
        self._machines[machine].prefilling.append(count)

    def _begun(self, request: int, attempt: int) -> _Count:
        behind = self._asked.behind(request, attempt)
        return _Count(self._asked.prompt_tokens[request], behind, attempt=attempt, behind=behind)

    def _of(self, request: int, attempt: int) -> _Count | None:
        """That attempt, given up or not; None where it has not been prefilled before."""
        count = self._counts.get(request)
        if count is not None and count.attempt == attempt:
            return count
        return next((count for count in self._given_up.get(request, ()) if count.attempt == attempt), None)

    def _at(self, machine: int, request: int) -> _Count | None:
        """The latest attempt of a request whose cache is on `machine`."""
        count = self._counts.get(request)
        if count is not None and count.home == machine:
            return count
        return next((count for count in reversed(self._given_up.get(request, [])) if count.home == machine), None)

    def _committed(self, entry: e.Committed) -> None:
        count = self._of(entry[2], entry[3])
        if count is not None:
            count.home = entry[1]

    def _attempt_lost(self, entry: e.AttemptLost) -> None:
        _, request, attempt, _ = entry
        count = self._counts.get(request)
        given_up = self._given_up.setdefault(request, [])
        if count is not None and count.attempt <= attempt:
            given_up.append(self._counts.pop(request))
        if count is None or count.attempt < attempt:  # whatever it does from now on is not the request's
            given_up.append(self._begun(request, attempt))

    def _attempt_ended(self, entry: e.AttemptEnded) -> None:
        at_ps, machine, request, attempt, _, delivered, _, _ = entry
        count = self._of(request, attempt)
        if count is None or count.home != machine:
            return  # the other end of its transfer
        tokens = self._now(count)
        if tokens != delivered:
            what = f"attempt {attempt} of request {request} ended with {delivered} tokens, its steps made {tokens}"
            self.once.broken(at_ps, what)

    def _crashed(self, entry: e.MachineCrashed) -> None:
        state = self._machines[entry.machine]
        for count in state.decoding.values():
            if count.machine == entry.machine:
                self._now(count)
        state.decoding.clear()
        state.prefilling.clear()
        state.context_tokens = 0

    def _finished(self, entry: e.StepFinished | e.StepsCut) -> None:
        state = self._machines[entry.machine]
        if not entry.steps:
            return
        if state.decoding:
            steps = entry.steps
            state.steps += steps
            state.context_tokens += steps * len(state.decoding)
        if state.prefilling:
            for count in state.prefilling:
                count.tokens += 1
            state.prefilling.clear()

    def _now(self, count: _Count) -> int:
        """The tokens of a request; it stops counting."""
        if count.machine >= 0:
            steps = self._machines[count.machine].steps
            count.tokens += steps - count.base
            count.base = steps
            count.machine = -1
        return count.tokens

    def _preempted(self, entry: e.Preempted) -> None:
        at_ps, machine, request, _, delivered, _, _ = entry
        count = self._at(machine, request) if request in self._given_up else self._counts.get(request)
        if count is None or count.machine != machine:
            self.members.broken(at_ps, f"request {request} was preempted on {self._names[machine]} and did not decode")
            return
        tokens = self._now(count)
        if tokens != delivered:
            what = f"request {request} was preempted with {delivered} tokens delivered, its steps made {tokens}"
            self.once.broken(at_ps, what)
        count.preemptions += 1
        if count.preemptions > self._most:
            for other, beside in self._machines[machine].decoding.items():
                if beside.machine == machine and beside.preemptions < self._most:
                    what = f"request {request} was preempted {count.preemptions} times while request {other} ran"
                    self.preemptions.broken(at_ps, what)
                    break

    def _ended(self, entry: e.RequestEnded) -> None:
        request, output_tokens = entry.request, entry.output_tokens
        count = self._counts.pop(request, None)
        if count is not None and entry.machine < 0:  # its machines do not know yet
            self._given_up.setdefault(request, []).append(count)
            return
        tokens = self._now(count) if count is not None else 0
        if tokens != output_tokens and entry.machine >= 0:
            what = f"request {request} ended with {output_tokens} tokens, its steps made {tokens}"
            self.once.broken(entry.at_ps, what)
        if output_tokens > self._asked.max_tokens[request] or (output_tokens < 1 and entry.status == 0):
            what = f"request {request} ended with {output_tokens} tokens, asked for {self._asked.max_tokens[request]}"
            self.once.broken(entry.at_ps, what)
