"""What being ready for faults costs a run that has none: `python tests/bench/readiness.py [SCENARIO]`.

The same run twice, counted in instructions: as it is, and without all that only faults need (epochs, numbers and bars
of the router's orders, leases, rights, heartbeats and sweeps). That both write the same record is checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCENARIO = Path(__file__).parents[2] / "scenarios" / "splitwise_hh.toml"


def strip() -> None:
    """Take it away, in this process."""
    from emu.control.machine import Machine
    from emu.control.transfer.leases import Leases
    from emu.node.machine_node import MachineNode

    def take_in(self: Machine, message: Any) -> None:
        self.orders.counted = message.number

    async def never(self: MachineNode) -> None:
        await self._leases_open.wait(None, periodic=True)

    nothing = {name: lambda *_: None for name in ("grant", "until", "renew", "end")}
    patches = (
        (Machine, {"admits": lambda *_: True, "_take_in": take_in}),
        (MachineNode, {"run_transfers": never}),
        (Leases, {**nothing, "holds": lambda *_: True, "sweep": lambda *_: ()}),
    )
    for owner, methods in patches:
        for name, method in methods.items():
            setattr(owner, name, method)


def counted(scenario: str, how: str) -> tuple[str, int]:
    """The digest of such a run, and its instructions. Raises CalledProcessError where it fails or perf does."""
    run = (sys.executable, __file__, scenario, how)
    done = subprocess.run(
        ("perf", "stat", "-e", "instructions:u", "-x,", *run), capture_output=True, check=True, text=True
    )
    return json.loads(done.stdout)["digest"], int(done.stderr.splitlines()[-1].split(",")[0])


def run(scenario: str, how: str) -> None:
    """Ends this process."""
    if how == "bare":
        strip()
    from emu.cli import main

    sys.argv = ["emu", "run", scenario, "--json"]
    main()


def compare(scenario: str) -> None:
    (digest, ready), (same, bare) = counted(scenario, "ready"), counted(scenario, "bare")
    if digest != same:
        sys.exit(f"two different runs: {digest} and {same}")
    more = 100 * (ready - bare) / bare
    sys.stdout.write(f"{ready / 1e9:.2f} G instructions, {bare / 1e9:.2f} G without: {more:.1f} % more\n")


if __name__ == "__main__":
    asked = sys.argv[1:] or [str(SCENARIO)]
    run(*asked) if len(asked) > 1 else compare(*asked)
