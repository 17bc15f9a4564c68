"""Errors of the shipped step times, as their fits left them in the profiles: no run."""

from __future__ import annotations

from emu.calibrate.report import validation_markdown
from emu.validate.lab import Lab


def section(lab: Lab) -> dict[str, str]:
    del lab
    return {"table": validation_markdown().strip()}
