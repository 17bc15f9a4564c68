"""`emu show` and `emu why`: a kept run, read as text. What they say is put together in `emu.view`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from emu.record.slo import Limit
    from emu.view.reader import Reader

PS_PER_S = 10**12

_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
_AT = click.option("--at", "at_s", type=click.FloatRange(min=0), metavar="T", help="The moment, in virtual seconds.")


@click.command()
@_FOLDER
@click.argument("what", required=False, type=click.Choice(["request", "machine", "law"]))
@click.argument("name", required=False)
@_AT
def show(folder: Path, what: str | None, name: str | None, at_s: float | None) -> int:
    """Show what emu run --out DIR kept: the cluster at a moment, a request's life, a machine, or a law.

    Without more, the cluster at the end (or at --at T). Requests are named r41, machines prefill-0, laws as in the
    report.
    """
    from emu.refusal import Refusal

    if what is not None and name is None:
        raise Refusal(f"emu show {folder} {what}", f"expected the name of a {what}")
    if what == "law":
        click.echo(_law(folder, str(name)))
        return 0
    reader = open_reader(folder)
    try:
        if what == "request":
            click.echo(_request(reader, str(name)))
        else:
            click.echo(_moment(reader, name if what == "machine" else None, at_s))
    finally:
        reader.close()
    return 0


@click.command()
@_FOLDER
@click.argument("name")
@_AT
def why(folder: Path, name: str, at_s: float | None) -> int:
    """Say what a request (r41) or a machine (decode-3) waits for at --at T, link by link to the root.

    Without --at: the end of the record; for a request that has ended, the middle of its longest wait.
    """
    reader = open_reader(folder)
    try:
        click.echo(_why(reader, name, at_s))
    finally:
        reader.close()
    return 0


def open_reader(folder: Path) -> Reader:
    """The record of a folder, judged by the SLOs of its scenario. Refusal: there is none."""
    from emu.view.reader import Reader

    return Reader(folder, slo_limits(folder))


def slo_limits(folder: Path) -> tuple[Limit, ...] | None:
    """The limits in seconds of the scenario that was kept beside the record; None for the paper's slowdowns."""
    from emu.scenario.load import load

    path = folder / "scenario.toml"
    if not path.is_file():
        return None
    slo = load(path, (), None).slo
    return None if slo.preset else slo.limits()


def _moment(reader: Reader, machine: str | None, at_s: float | None) -> str:
    from emu.refusal import Refusal
    from emu.view.show import machine_text, run_text

    at_ps = _read_to(reader, at_s)
    view = reader.view(at_ps)
    if machine is None:
        return run_text(view, reader.survey)
    found = view.machine_named(machine)
    if found is None:
        names = ", ".join(each.name for each in view.machines[:8])
        raise Refusal(f"machine {machine}", f"expected one of the record's machines: {names}")
    return machine_text(view, found)


def _request(reader: Reader, name: str) -> str:
    from emu.view.show import request_text

    number = _number(name)
    entries = reader.life(number)
    if not entries:
        from emu.refusal import Refusal

        raise Refusal(f"request {name}", f"expected a request of the record: r0 to r{reader.started.requests - 1}")
    return request_text(reader.started, number, entries)


def _law(folder: Path, name: str) -> str:
    import json

    from emu.laws.checker import Checker
    from emu.laws.verdicts import LawRules
    from emu.refusal import Refusal
    from emu.view.recording import Recording
    from emu.view.show import law_text

    record = Recording(folder)
    record.close()
    rules = LawRules(0, 1, 1, (0,) * len(record.started.machines), faulty=record.started.faulty)
    statements = {law.name: law.statement for law in Checker(record.started, rules).statutes}
    if name not in statements:
        raise Refusal(f"law {name}", f"expected one of: {', '.join(sorted(statements))}")
    path = folder / "summary.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Refusal(str(path), "expected the summary that emu run --out keeps") from None
    return law_text(name, statements[name], summary)


def _why(reader: Reader, name: str, at_s: float | None) -> str:
    from emu.refusal import Refusal
    from emu.view.cluster import seconds
    from emu.view.why import why_machine, why_request

    names = [machine.name for machine in reader.started.machines]
    if name in names:
        at_ps = _read_to(reader, at_s)
        return f"at {seconds(at_ps)}:\n{why_machine(reader.view(at_ps), names.index(name)).text()}"
    number = _number(name)
    said = ""
    if at_s is None:
        at_ps, said = _longest_wait(reader, number)
    else:
        at_ps = _read_to(reader, at_s)
    view = reader.view(at_ps)
    if number not in view.requests:
        raise Refusal(f"request {name}", f"expected one that is open at {seconds(at_ps)}; emu show tells its life")
    return f"at {seconds(at_ps)}{said}:\n{why_request(view, number).text()}"


def _longest_wait(reader: Reader, request: int) -> tuple[int, str]:
    """When to ask about a request: the end while it is open, else the middle of its longest wait."""
    from emu.refusal import Refusal
    from emu.view.cluster import seconds
    from emu.view.life import longest_wait

    at_ps = _read_to(reader, None)
    if request in reader.view(at_ps).requests:
        return at_ps, ""
    found = longest_wait(reader.life(request), request)
    if found is None:
        raise Refusal(f"request r{request}", f"expected a request of the record: r0 to r{reader.started.requests - 1}")
    word, _, began_ps, ended_ps = found
    return (began_ps + ended_ps) // 2, f", in the middle of its longest wait ({word}, {seconds(ended_ps - began_ps)})"


def _read_to(reader: Reader, at_s: float | None) -> int:
    at_ps = None if at_s is None else round(at_s * PS_PER_S)
    reader.advance(until_ps=at_ps)
    return reader.front_ps if at_ps is None else at_ps


def _number(name: str) -> int:
    from emu.refusal import Refusal

    digits = name.removeprefix("r")
    if not digits.isdigit():
        raise Refusal(f"request {name}", "expected a request such as r41, or a machine such as decode-3")
    return int(digits)
