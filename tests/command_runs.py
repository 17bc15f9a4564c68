"""The command run from a test: in this process or in one of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import emu.cli

HELLO = Path(__file__).parents[1] / "scenarios" / "hello.toml"
SMALL = """
name = "small"
model = "llama2-70b"
machines = [{pool = "prefill", hardware = "dgx-h100"}, {pool = "decode", hardware = "dgx-h100"}]

[workload]
trace = "trace.csv"
"""
SPLITWISE_SIM = "arrival_timestamp,prompt_size,token_size,request_id\n"


class Terminal:
    """Runs the command in this process and keeps what it says."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def run(self, *arguments: str | Path) -> int:
        status = emu.cli.status_of(["run", *map(str, arguments)])
        self.out, self.err = self._capsys.readouterr()
        return status

    def summary(self, *arguments: str | Path) -> dict[str, Any]:
        assert self.run(*arguments, "--json") == 0, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


def command(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """In a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "emu", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
