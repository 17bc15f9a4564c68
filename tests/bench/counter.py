"""Instructions that this thread has run, which no other process can stretch, and the CPU time that they took."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import time
from typing import Final, NamedTuple

_CALLS: Final = {"x86_64": 298, "aarch64": 241}  # perf_event_open, by machine
_SIZE: Final = 128
_FLAGS: Final = 1 << 5 | 1 << 6  # neither the kernel's nor a hypervisor's


class Work(NamedTuple):
    """Of one thread, so far; `instructions` is 0 where they cannot be counted."""

    instructions: int
    cpu_s: float

    def since(self, before: Work) -> Work:
        return Work(self.instructions - before.instructions, self.cpu_s - before.cpu_s)


class Counter:
    """Of the thread that makes it."""

    def __init__(self) -> None:
        wanted = bytearray(_SIZE)
        struct.pack_into("<IIQ", wanted, 0, 0, _SIZE, 1)  # of the hardware, of this size: instructions
        struct.pack_into("<Q", wanted, 40, _FLAGS)
        call = _CALLS.get(platform.machine())
        self._file = -1 if call is None else ctypes.CDLL(None).syscall(call, bytes(wanted), 0, -1, -1, 0)

    def now(self) -> Work:
        counted = struct.unpack("<q", os.read(self._file, 8))[0] if self._file >= 0 else 0
        return Work(counted, time.thread_time())
