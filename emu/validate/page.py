"""Page: docs/validation.md as sections, each a text with holes and the figures that fill them, made from runs.

A section whose data is not at hand is kept as it stands, and named; every other one is made again. Nothing in the page
depends on the machine or the day, so that making it again gives the same bytes. What the sections say is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources

from attrs import frozen

from emu.validate.lab import Lab

_MARK = re.compile(r"^<!-- section: ([a-z0-9-]+) -->$", re.MULTILINE)
HEAD = "head"


@frozen
class Section:
    """`figures` fill the holes of prose/NAME.md; `needs` are files of the shared folder; `cheap`: seconds of CPU."""

    name: str
    figures: Callable[[Lab], Mapping[str, str]]
    needs: tuple[str, ...] = ()
    cheap: bool = False

    def text(self, lab: Lab) -> str:
        """The section, made now."""
        return prose(self.name).format_map(self.figures(lab))

    def missing(self, lab: Lab) -> tuple[str, ...]:
        """Which of the files that it needs are not at hand."""
        return tuple(name for name in self.needs if lab.shared is None or not (lab.shared / name).is_file())


def prose(name: str) -> str:
    """The words of a section, its figures in braces."""
    return resources.files("emu.validate").joinpath("prose", f"{name}.md").read_text(encoding="utf-8").strip()


def split(page: str) -> dict[str, str]:
    """The sections of a page by name."""
    parts = _MARK.split(page)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def joined(sections: Sequence[Section], texts: Mapping[str, str]) -> str:
    """The whole page; a section without a text says so."""
    parts = [prose(HEAD)]
    for section in sections:
        text = texts.get(section.name, f"*Not made yet: it needs {', '.join(section.needs) or 'a run'}.*")
        parts.append(f"<!-- section: {section.name} -->\n{text}")
    return "\n\n".join(parts) + "\n"
