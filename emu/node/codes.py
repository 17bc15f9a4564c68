"""The integers by which a record names what cores say in words."""

from __future__ import annotations

from typing import Final

from emu.record.entries import PoolCode, Reason, Status

REASONS: Final = {"" if reason is Reason.NONE else reason.name.lower(): int(reason) for reason in Reason}
STATUSES: Final = {status.name.lower(): int(status) for status in Status}
POOLS: Final = {pool.name.lower(): int(pool) for pool in PoolCode}
