"""Keeping what was found: the shrunk situation as a scenario file of a few lines, and a JUnit file for CI.

The file says what it breaks and names the commands that run and watch it; loading it gives the situation back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from attrs import NOTHING, fields, has

from emu.fuzz.judge import Finding
from emu.scenario.schema import Scenario, Slo


def scenario_text(scenario: Scenario, comment: str = "") -> str:
    """TOML with every key that is not as its default would have it, behind `comment`."""
    import tomli_w

    document = _plain(scenario)
    document.pop("slo", None) if scenario.slo == Slo(preset="splitwise") else None
    if all(group.pool == "mixed" for group in scenario.machines):  # where the default of the policy is another one
        document.setdefault("router", {})["policy"] = scenario.router.policy
    lines = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    return lines + tomli_w.dumps(document)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    if not has(type(value)):
        return str(value) if isinstance(value, Path) else value
    found = {}
    for attribute in fields(type(value)):
        inner = getattr(value, attribute.name)
        if inner is not None and (attribute.default is NOTHING or inner != attribute.default):
            plain = _plain(inner)
            if plain != {}:
                found[attribute.name] = plain
    return found


def keep(scenario: Scenario, finding: Finding, folder: Path) -> Path:
    """Write the situation into `folder`, in a new file named for the law."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{finding.law}.toml"
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{finding.law}-{number}.toml"
    comment = f"Breaks {finding.law}: {finding.statement}\n{finding.what}"
    path.write_text(scenario_text(scenario, comment))
    return path


def junit(name: str, checked: int, seconds: float, findings: list[tuple[Finding, str]]) -> str:
    """A test suite of one test a finding, or of one that passed; `findings` come with their stories."""
    cases = [
        f"  <testcase classname={quoteattr(name)} name={quoteattr(finding.law)}>\n"
        f"    <failure message={quoteattr(_printable(finding.what))}>{_escaped(story)}</failure>\n  </testcase>\n"
        for finding, story in findings
    ] or [f'  <testcase classname={quoteattr(name)} name="{checked} examples" time="{seconds:.3f}"/>\n']
    counted = f'tests="{len(cases)}" failures="{len(findings)}" time="{seconds:.3f}"'
    head = f"<testsuite name={quoteattr('emu fuzz ' + name)} {counted}>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}\n{"".join(cases)}</testsuite>\n'


def _escaped(text: str) -> str:
    from xml.sax.saxutils import escape

    return escape(_printable(text))


def _printable(text: str) -> str:
    """What XML can hold of it."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
