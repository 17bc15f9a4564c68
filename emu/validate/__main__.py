"""`python -m emu.validate`: make docs/validation.md, or judge the one that there is.

Sections run one after another in this process; which there are, and in which order, stands here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from emu.refusal import Refusal
from emu.validate import corrections, curves, energy, hand_over, parity, profiles, queueing, real_pair, table_iv
from emu.validate.lab import Lab
from emu.validate.page import Section, joined, split
from emu.validate.reference import CASES

REFERENCES: Final = tuple(case.file for case in CASES)
SECTIONS: Final = (
    Section("profiles", profiles.section, cheap=True),
    Section("real-pair", real_pair.section, cheap=True),
    Section("table-iv", table_iv.section, cheap=True),
    Section("hand-over", hand_over.section, cheap=True),
    Section("parity", parity.section, REFERENCES),
    Section("corrections", corrections.section, REFERENCES),
    Section("queueing", queueing.section),
    Section("bandwidth", curves.bandwidth),
    Section("power-cap", curves.power_cap),
    Section("energy", energy.section),
)
PAGE: Final = Path("docs/validation.md")
DIFFERS, REFUSED = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page: status 0. With --check write nothing: 1 where a section is not what would be made. 2: refused."""
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(prog="python -m emu.validate", description="Make docs/validation.md from runs.")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to make or to judge (%(default)s)")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="published data (%(default)s)")
    parser.add_argument("--only", action="append", choices=names, help="make this section only; may be repeated")
    parser.add_argument("--cheap", action="store_true", help="make only what takes seconds")
    parser.add_argument("--check", action="store_true", help="make the sections and compare them with the page")
    options = parser.parse_args(arguments)
    wanted = [s for s in SECTIONS if (not options.only or s.name in options.only) and (s.cheap or not options.cheap)]
    status = 0
    try:
        texts = split(options.page.read_text(encoding="utf-8")) if options.page.exists() else {}
        with tempfile.TemporaryDirectory() as scratch:
            for name, text in made(Lab(Path(scratch), options.shared if options.shared.is_dir() else None), wanted):
                if options.check and texts.get(name) != text:
                    sys.stderr.write(f"{options.page}: section {name} differs from what would be made now\n")
                    status = DIFFERS
                texts[name] = text
                if not options.check:
                    options.page.write_text(joined(SECTIONS, texts), encoding="utf-8")
    except (Refusal, OSError) as refusal:
        sys.stderr.write(f"{refusal}\n")
        return REFUSED
    return status


def made(lab: Lab, sections: Sequence[Section]) -> Iterator[tuple[str, str]]:
    """The texts of those sections whose data is at hand; stderr hears what each cost, and what is left as it is."""
    for section in sections:
        missing, before_s = section.missing(lab), lab.cpu_s
        if missing:
            sys.stderr.write(f"{section.name}: left as it is, without {', '.join(missing)}\n")
            continue
        yield section.name, section.text(lab)
        sys.stderr.write(f"{section.name}: {lab.cpu_s - before_s:.0f} s of CPU\n")


if __name__ == "__main__":
    sys.exit(main())
