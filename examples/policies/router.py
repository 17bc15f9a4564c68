#!/usr/bin/env python3
"""A router as a program: one JSON line in, one out. Name it in a scenario as policy = "exec:./router.py"."""

import json
import sys


def place(machines: list[dict]) -> dict:
    """The least queue of prompts among the machines that prefill, the most free blocks among those that decode."""
    prefill = min((m for m in machines if m["pool"] != "decode"), key=lambda m: m["pending_tokens"])
    decode = max((m for m in machines if m["pool"] != "prefill"), key=lambda m: m["free_blocks"])
    return {"prefill": prefill["machine"], "decode": decode["machine"]}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(place(json.loads(line)["machines"])), flush=True)
