"""What policies of one's own see and answer: plain values, and one or two methods each.

A policy sees what production control sees and no more: output lengths, step costs and link speeds must stay out.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Ask(NamedTuple):
    """What a request asks for. Blocks are KV blocks of 16 tokens; `draw` is random in 0 .. 2**32 - 1."""

    prompt_tokens: int
    prefill_blocks: int  # on the machine that prefills it
    decode_blocks: int  # on the machine that decodes it, to begin with
    draw: int


class Offer(NamedTuple):
    """A machine that may be chosen, as the router believes it to be: its last report plus what was assigned since."""

    machine: int
    pool: str  # that it serves now: prefill, decode or mixed
    pending_tokens: int  # of prompts there that are not prefilled
    sequences: int  # that decode there, or will
    free_blocks: int  # negative when more is promised than there is
    kv_blocks: int  # free or not
    chosen: int  # how often the router has assigned it anything


class Choice(NamedTuple):
    """Both machines of a request, by `Offer.machine`; the same one twice runs both phases."""

    prefill: int
    decode: int


class RoutingPolicy(Protocol):
    """Chooses both machines of each request, when it arrives."""

    def place(self, ask: Ask, machines: Sequence[Offer]) -> Choice | None:
        """One of the machines offered for each phase, or None: the request is rejected.

        A machine of the other pool may be named: it is borrowed, serves both phases, and goes home when it is done.
        """
        ...


class Prompt(NamedTuple):
    """A prompt that waits on a machine."""

    request_id: int
    prompt_tokens: int
    max_tokens: int
    arrived_ps: int


class Running(NamedTuple):
    """A sequence that decodes on a machine, and `blocks` that it holds there."""

    request_id: int
    prompt_tokens: int
    delivered_tokens: int
    blocks: int
    preemptions: int
    arrived_ps: int


class SchedulerPolicy(Protocol):
    """Orders the work of one machine; every machine has its own instance. `victim` may be left out."""

    def next_prompt(self, waiting: Sequence[Prompt]) -> int:
        """The index in `waiting` (in the order in which they came) of the prompt that is prefilled next."""
        ...

    def victim(self, running: Sequence[Running]) -> int:
        """The index in `running` of the sequence that gives its blocks back when blocks have run out."""
        ...


class TransferPolicy(Protocol):
    """Says how the caches of a batch of prompts leave for their decode machines."""

    def by_layer(self, prompt_tokens: int, prompts: int) -> bool:
        """True: layer by layer, while the batch is computed; false: all of it behind the batch."""
        ...
