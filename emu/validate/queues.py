"""Queues whose waiting times are known exactly, and their closed forms; beside them, runs of emu that are such queues.

A prefill machine with equal prompts, a batch of one and Poisson arrivals is M/D/1. A decode machine that holds at most
c sequences, with answers of geometric length, is c servers in front of one line: M/M/c where a step takes as long
whatever the batch, and a birth-death chain where it does not. How this is told is `emu.validate.queueing`'s.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import ceil, log, sqrt
from random import Random
from typing import Final, NamedTuple

import numpy as np
from attrs import frozen

from emu.fake.costs import Costs
from emu.validate.lab import PS_PER_S, Arrival, Lab, Measured, Values

PROMPT_TOKENS: Final = 1024
ANSWER_STEPS: Final = 400
"""Mean decode steps of an answer: a wait for the step under way, half a step, is then an eighth of a per cent of it."""

BATCHES: Final = 20
T_19: Final = 2.093
"""Student's t at 97.5 % for 19 degrees of freedom."""


class Estimate(NamedTuple):
    """A mean with the half width of its 95 % confidence interval, by batch means."""

    mean: float
    within: float

    def holds(self, value: float) -> bool:
        return abs(self.mean - value) <= self.within


class Waiting(NamedTuple):
    """What theory says of a queue's mean wait and of the share that does not wait, and what a run found.

    `apart_s` is the most by which one request's wait differs from that of the same arrivals and services in a queue
    followed by its recursion, request by request; None where there is no such recursion.
    """

    requests: int
    load: float
    theory_s: float
    found: Estimate
    theory_at_once: float
    found_at_once: Estimate
    apart_s: float | None


@frozen
class DecodeOnly:
    """Step times of a machine on which prefill is for nothing (a microsecond) and `steps_ps` are by batch size."""

    steps_ps: tuple[int, ...]
    identified: bool = True
    closed_form: bool = True

    def __call__(self, costs: Costs) -> Costs:
        """In place of any others."""
        del costs
        return self

    def prefill_ps(self, tokens: int, prompts: int, cached_tokens: int = 0) -> int:  # noqa: ARG002 (all the same)
        return 10**6

    def decode_coefficients(self, sequences: int) -> tuple[int, int]:
        return self.steps_ps[min(sequences, len(self.steps_ps)) - 1], 0

    def decode_ps(self, sequences: int, context_tokens: int) -> int:  # noqa: ARG002 (context is for nothing)
        return self.decode_coefficients(sequences)[0]

    def mixed_ps(self, tokens: int, prompts: int, cached_tokens: int, sequences: int, context_tokens: int) -> int:
        decode_ps = self.decode_ps(sequences, context_tokens) if sequences else 0
        return decode_ps + (self.prefill_ps(tokens, prompts, cached_tokens) if tokens else 0)

    def measured(self, sequences: int, context_tokens: int) -> bool:  # noqa: ARG002 (made up, so never outside)
        return True

    def measured_prefill(self, tokens: int, prompts: int) -> bool:  # noqa: ARG002 (made up, so never outside)
        return True


def md1_wait_s(load: float, service_s: float) -> float:
    """Pollaczek-Khinchine for a constant service time."""
    return load * service_s / (2 * (1 - load))


def chain(arrivals_per_s: float, steps_s: Sequence[float], answer_steps: float) -> tuple[float, float]:
    """(mean wait in seconds, probability of none) of a decode machine that holds len(steps_s) sequences.

    With k sequences a step takes steps_s[k - 1], so k / (answer_steps x that) answers end a second; further ones wait
    in one line. The stationary distribution of that birth-death chain, the tail behind its last state summed as a
    geometric series; equal steps make it Erlang's C. Raises ValueError where the line would grow for ever.
    """
    servers = len(steps_s)
    deaths = [k / (answer_steps * step_s) for k, step_s in enumerate(steps_s, 1)]
    ratio = arrivals_per_s / deaths[-1]
    if ratio >= 1:
        raise ValueError(f"a load of {ratio:.2f}")
    weights = list(accumulate(deaths, lambda weight, death: weight * arrivals_per_s / death, initial=1.0))
    whole = sum(weights) + weights[servers] * ratio / (1 - ratio)
    waiting = weights[servers] * ratio / (1 - ratio) ** 2 / whole
    return waiting / arrivals_per_s, sum(weights[:servers]) / whole


def poisson(seed: str, rate_rps: float) -> Iterator[float]:
    """Instants of a Poisson process, in seconds."""
    draw, at_s = Random(f"validate/{seed}/arrivals").random, 0.0
    while True:
        at_s -= log(1.0 - draw()) / rate_rps
        yield at_s


def geometric(seed: str, mean: float) -> Iterator[int]:
    """Counts from 1 on, memoryless, of this mean."""
    draw, stay = Random(f"validate/{seed}/answers").random, log(1.0 - 1.0 / mean)
    while True:
        yield max(1, ceil(log(1.0 - draw()) / stay))


def estimate(values: Sequence[float] | Values) -> Estimate:
    """By 20 batch means, the first tenth left out as warm-up."""
    kept = np.asarray(values, dtype=np.float64)[len(values) // 10 :]
    means = [float(batch.mean()) for batch in np.array_split(kept, BATCHES)]
    return Estimate(float(kept.mean()), T_19 * float(np.std(means, ddof=1)) / sqrt(BATCHES))


def waits_in_line(arrivals_s: Sequence[float], services_s: Sequence[float], servers: int) -> list[float]:
    """Kiefer and Wolfowitz's recursion (with one server, Lindley's): first come, first served, by several servers."""
    free_at_s = [0.0] * servers
    waits: list[float] = []
    for at_s, service_s in zip(arrivals_s, services_s, strict=True):
        start_s = max(at_s, heapq.heappop(free_at_s))
        heapq.heappush(free_at_s, start_s + service_s)
        waits.append(start_s - at_s)
    return waits


def prefill_machine(lab: Lab, load: float, requests: int) -> Waiting:
    """One DGX-H100 that prefills prompts of one size, one at a time, and answers with one token."""
    seed = f"md1/{load}"
    service_s = _prefill_s(lab)
    arrivals: list[Arrival] = [
        (at_s, PROMPT_TOKENS, 1) for at_s, _ in zip(poisson(seed, load / service_s), range(requests), strict=False)
    ]
    measured = _machines(lab, ("mixed",), arrivals, {"prefill_batch_tokens": PROMPT_TOKENS})
    waits_s = measured.each(lambda served: served.queue_s)
    at_once = estimate([float(wait_s == 0) for wait_s in waits_s])
    exact_s = waits_in_line([at_s for at_s, _, _ in arrivals], [service_s] * requests, 1)
    apart_s = float(np.max(np.abs(waits_s - exact_s)))
    return Waiting(requests, load, md1_wait_s(load, service_s), estimate(waits_s), 1 - load, at_once, apart_s)


def decode_machine(lab: Lab, load: float, requests: int, steps_ps: tuple[int, ...]) -> Waiting:
    """One machine that decodes at most len(steps_ps) sequences, behind one that prefills in no time."""
    servers, steps_s = len(steps_ps), [step_ps / PS_PER_S for step_ps in steps_ps]
    rate_rps = load * servers / (ANSWER_STEPS * steps_s[-1])
    seed = f"mmc/{servers}/{load}"
    draws = zip(poisson(seed, rate_rps), geometric(seed, ANSWER_STEPS), range(requests), strict=False)
    arrivals: list[Arrival] = [(at_s, 16, 1 + steps) for at_s, steps, _ in draws]
    swap = DecodeOnly(steps_ps)
    measured = _machines(lab, ("prefill", "decode"), arrivals, {"decode_batch": servers, "watermark": 0}, swap)
    waits_s = _decode_waits_s(measured, steps_s)
    theory_s, at_once = chain(rate_rps, steps_s, ANSWER_STEPS)
    apart_s = None
    if len(set(steps_ps)) == 1:
        services_s = [(output - 1) * steps_s[0] for _, _, output in arrivals]
        exact_s = waits_in_line([at_s for at_s, _, _ in arrivals], services_s, servers)
        apart_s = float(np.max(np.abs(waits_s - np.array(exact_s))))
    # who finds room waits for the end of the step under way, and then takes the step of the whole batch
    found_at_once = estimate([float(wait_s < 2 * steps_s[-1]) for wait_s in waits_s])
    return Waiting(requests, load, theory_s, estimate(waits_s), at_once, found_at_once, apart_s)


def _decode_waits_s(measured: Measured, steps_s: Sequence[float]) -> Values:
    """From the first token to the start of the step that makes the second, which takes `steps_s[0]` at the least."""
    return np.maximum(0.0, measured.each(lambda served: served.ttst_s - served.ttft_s - steps_s[0]))


def _prefill_s(lab: Lab) -> float:
    alone = _machines(lab, ("mixed",), [(1.0, PROMPT_TOKENS, 1)], {"prefill_batch_tokens": PROMPT_TOKENS})
    return alone.requests[0].ttft_s


def _machines(
    lab: Lab,
    pools: Sequence[str],
    arrivals: Sequence[Arrival],
    scheduler: dict[str, object],
    swap: DecodeOnly | None = None,
) -> Measured:
    """A machine a pool, with no delay but the machines' own."""
    trace = lab.trace(f"queue-{len(arrivals)}-{arrivals[-1][0]:.6f}", arrivals)
    document = {
        "name": "queue",
        "model": "llama2-70b",
        "machines": [{"pool": pool, "hardware": "dgx-h100"} for pool in pools],
        "router": {"report_every_s": 0},
        "scheduler": scheduler,
        "transfer": {"mode": "serialized", "signal_s": 0, "layer_sync_s": 0},
        "network": {"control_latency_s": 0, "data_latency_s": 0},
        "workload": {"trace": trace, "max_tokens": "exact"},
    }
    return lab.run(document, swap)
