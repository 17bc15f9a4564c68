"""What a plan file may say: frozen values, each key with its unit and its default.

As in `emu.scenario.schema`, whatever these classes do not name is refused. What a key means for a search is not known
here; the tables `workload`, `slo` and `scenario` are a scenario's own and are judged as such.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen

from emu.fake.profiles import HardwareProfile
from emu.scenario.ranges import at_least, between, positive_seconds, ratio, text
from emu.scenario.schema import Pool


@frozen(kw_only=True)
class Group:
    """Machines of one pool; a plan finds their number where `count` does not fix it."""

    pool: Pool
    hardware: str = field(validator=text())
    count: int | None = field(default=None, validator=at_least(1, 1000))


@frozen(kw_only=True)
class Design:
    """What a cluster is made of; at most two groups are without a count."""

    name: str = field(validator=text())
    machines: tuple[Group, ...]

    @property
    def free(self) -> tuple[Group, ...]:
        return tuple(group for group in self.machines if group.count is None)


@frozen(kw_only=True)
class Figures:
    """Figures of one hardware that hold in this plan in the place of its profile's."""

    power_w: float | None = field(default=None, validator=ratio(1e-3, 1e9))
    cost_per_hour: float | None = field(default=None, validator=ratio(1e-6, 1e9))


@frozen(kw_only=True)
class Search:
    """How the search goes about it."""

    seeds: int = field(default=3, validator=at_least(1, 100))  # workloads that a close decision is made under
    first_seed: int = field(default=0, validator=at_least(0))  # they count up from here
    short_s: float = field(default=20.0, validator=positive_seconds())  # of arrivals: what fails here fails
    long_s: float = field(default=60.0, validator=positive_seconds())  # of arrivals: what passes is shown here
    step_rps: float | None = field(default=None, validator=ratio())  # between rates; None: a twentieth of the estimate
    highest_rps: float | None = field(default=None, validator=ratio())  # None: three times the estimate
    confidence: float = field(default=0.95, validator=between(0.5, 0.999))


@frozen(kw_only=True)
class Resources:
    """The most of each that a cluster may take; None where there is no such bound."""

    power_w: float | None = None
    cost_per_hour: float | None = None
    machines: int | None = None


@frozen(kw_only=True)
class Plan:
    """One question, complete: designs, what they may take, what is to be carried under which limits, what is best."""

    path: Path
    name: str
    objective: Literal["throughput", "cost", "power"]
    designs: tuple[Design, ...]
    bounds: Resources
    search: Search
    scenario: dict[str, Any]  # a scenario's document without machines, rate, duration and seed
    rate_rps: float | None  # to be carried, unless throughput is sought
    hardware: dict[str, HardwareProfile]  # of every group, with this plan's figures
