"""RunStarted: the first line of a record. It names things and carries what folds need; the digest leaves it out."""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict, frozen


@frozen
class MachineDraw:
    """What a whole machine draws, in watts: idle, in a prefill step by its tokens, in a decode step by its sequences.

    Linear between these counts, and constant outside them.
    """

    idle_w: float
    prefill_tokens: tuple[int, ...]
    prefill_w: tuple[float, ...]
    decode_sequences: tuple[int, ...]
    decode_w: tuple[float, ...]


@frozen
class MachineFacts:
    """One machine: its name and profile, what it costs, and what it draws, None where that is not known.

    `power_w` is what must be provisioned for it.
    """

    name: str
    hardware: str
    pool: str
    tensor_parallel: int
    kv_blocks: int
    cost_per_hour: float
    power_w: float
    draw: MachineDraw | None = None


@frozen
class RunStarted:
    """What ran: `machines` in the order of their indices; `identified`: do the costs tell context from batch size?

    `lease_ps` and `heartbeat_ps`: how long a machine keeps blocks for a silent peer, and how often peers speak; 0 where
    a record does not say. `faulty`: faults may strike, and the laws for that are judged.
    """

    name: str
    model: str
    block_tokens: int
    machines: tuple[MachineFacts, ...]
    requests: int
    identified: bool
    lease_ps: int = 0
    heartbeat_ps: int = 0
    faulty: bool = False

    def line(self) -> str:
        """As the first line of a record file."""
        return json.dumps({"entry": "RunStarted", **asdict(self)}) + "\n"

    @classmethod
    def of_line(cls, line: str) -> RunStarted:
        """Raises ValueError."""
        values = json.loads(line)
        if not isinstance(values, dict) or values.pop("entry", None) != "RunStarted":
            raise ValueError("a record starts with RunStarted")
        values["machines"] = tuple(_machine(facts) for facts in values["machines"])
        return cls(**values)


def _machine(facts: dict[str, Any]) -> MachineFacts:
    draw = facts.pop("draw", None)
    if draw is not None:
        draw = MachineDraw(draw.pop("idle_w"), **{key: tuple(values) for key, values in draw.items()})
    return MachineFacts(**facts, draw=draw)
