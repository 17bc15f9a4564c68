"""What a roofline needs of a machine beyond its hardware profile: the [roofline] table of that file, read strictly."""

from pathlib import Path

import attrs

from emu.fake.profiles import SHIPPED_HARDWARE, from_table, read_profile
from emu.refusal import Refusal


@attrs.frozen(slots=True)
class Datasheet:
    """One GPU: dense 16-bit tensor operations a second, and bytes a second each way over its link to the others."""

    flops_per_s: int
    gpu_link_bytes_per_s: int
    source: str


def has_datasheet(name: str) -> bool:
    """Whether a shipped machine's profile says what a roofline needs; that of workers of our own does not."""
    return "roofline" in read_profile("hardware", SHIPPED_HARDWARE, name)[0]


def load_datasheet(name_or_path: str, folder: Path | None = None) -> Datasheet:
    """Of a shipped machine or a file of one's own. Raises `Refusal`, also when the file has no such table."""
    table, where = read_profile("hardware", SHIPPED_HARDWARE, name_or_path, folder)
    found = table.get("roofline")
    if not isinstance(found, dict):
        expected = "expected a table [roofline] with flops_per_s, gpu_link_bytes_per_s and source"
        raise Refusal(f"{where}: roofline", expected)
    return from_table(Datasheet, found, f"{where}: roofline")
