"""Planted bugs of scheduling: batches, who rides, who waits, and what a machine says of itself. Nothing is run here."""

from bench.planted.planting import Planted

MIXED, DECODE, QUEUE = "emu.control.mixed:Scheduler", "emu.control.decode:Decoder", "emu.control.prefill:PrefillQueue"
MACHINE = "emu.control.machine:Machine"

SCHEDULING = (
    Planted(
        "one-token-more",
        f"{MIXED}.finish",
        "sequence.delivered >= request.max_tokens",
        "sequence.delivered > request.max_tokens",
        "a request that asks for one token decodes for another",
    ),
    Planted(
        "last-step-late",
        f"{DECODE}.full",
        "ends[0][0] <= self.steps",
        "ends[0][0] < self.steps",
        "a sequence that reaches what its client asked for goes on for a step",
    ),
    Planted(
        "never-ages",
        f"{MIXED}._sit_out",
        "            sequence.sat_out += 1\n",
        "            sequence.sat_out += sequence.sat_out\n",
        "a decode that sits out mixed batches never grows old",
        window=True,
    ),
    Planted(
        "forgets-to-leave",
        f"{MIXED}._sit_out",
        "if sequence.request.request_id not in fresh:",
        "if sequence.request.request_id not in fresh and not sequence.preemptions:",
        "a sequence that was preempted once sits out unannounced",
        window=True,
    ),
    Planted(
        "staying-miscounted",
        f"{MACHINE}._stepped",
        "elif sequence.peer == self.rules.index and sequence.delivered == 1:",
        "elif sequence.peer == self.rules.index and sequence.delivered == 1 and sequence not in outcome.stopped:",
        "a prompt that ends with its first token stays in the load report for ever",
    ),
    Planted(
        "queue-counts-twice",
        f"{QUEUE}.put_back",
        "        self.preempted.insert(",
        "        self.queued_tokens += sequence.request.prompt_tokens\n        self.preempted.insert(",
        "a preempted sequence counts as a queued prompt, and is never taken off",
        window=True,
    ),
    Planted(
        "report-counts-late",
        f"{MACHINE}.load_report",
        "grown = decoder.blocks_due(decoder.steps + 1, unsettled)",
        "grown = decoder.blocks_due(decoder.steps, unsettled)",
        "a report inside a leap counts the blocks of the wrong steps",
        window=True,
    ),
    Planted(
        "recomputing-uncounted",
        f"{MACHINE}.load_report",
        "recomputing += 1",
        "recomputing += 0",
        "a sequence that is computed again is in no load report",
        window=True,
        wastes=True,
    ),
    Planted(
        "batch-too-large",
        f"{QUEUE}.take",
        "tokens_before + tokens_to_compute(head) > self.batch_tokens",
        "tokens_before > self.batch_tokens",
        "a batch takes one prompt more than its limit allows",
    ),
    Planted(
        "one-at-a-time",
        f"{QUEUE}.take",
        "tokens_before + tokens_to_compute(head) > self.batch_tokens",
        "tokens_before + tokens_to_compute(head) > 0",
        "prompts are never batched",
        wastes=True,
    ),
    Planted(
        "last-come-first",
        f"{QUEUE}.add",
        "self.waiting.append(sequence)",
        "self.waiting.appendleft(sequence)",
        "the prompt queue serves the last come first",
    ),
    Planted(
        "ready-at-the-back",
        f"{MIXED}.finish",
        "decoder.ready.appendleft(self._sitting_out.pop())",
        "decoder.ready.append(self._sitting_out.pop())",
        "who sat out goes behind all who became ready since",
        window=True,
        wastes=True,
    ),
    Planted(
        "waits-for-company",
        f"{MIXED}._join",
        "while decoder.ready and len(decoder.running) < decoder.limit:",
        "while len(decoder.ready) > bool(decoder.running) and len(decoder.running) < decoder.limit:",
        "a sequence joins a running batch only together with another",
        window=True,
    ),
)
