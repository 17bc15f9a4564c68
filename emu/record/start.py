"""RunStarted: the first line of a record. It names things and carries what folds need; the digest leaves it out."""

from __future__ import annotations

import json

from attrs import asdict, frozen


@frozen
class MachineFacts:
    """One machine: its name and profile, and what it costs. `power_w` is what must be provisioned for it."""

    name: str
    hardware: str
    pool: str
    tensor_parallel: int
    kv_blocks: int
    cost_per_hour: float
    power_w: float


@frozen
class RunStarted:
    """What ran: `machines` in the order of their indices; `identified`: do the costs tell context from batch size?"""

    name: str
    model: str
    block_tokens: int
    machines: tuple[MachineFacts, ...]
    requests: int
    identified: bool

    def line(self) -> str:
        """As the first line of a record file."""
        return json.dumps({"entry": "RunStarted", **asdict(self)}) + "\n"

    @classmethod
    def of_line(cls, line: str) -> RunStarted:
        """Raises ValueError."""
        values = json.loads(line)
        if not isinstance(values, dict) or values.pop("entry", None) != "RunStarted":
            raise ValueError("a record starts with RunStarted")
        values["machines"] = tuple(MachineFacts(**machine) for machine in values["machines"])
        return cls(**values)
