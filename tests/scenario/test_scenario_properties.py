"""What holds of every scenario file: it loads and comes back the same, or it is refused with one clear line."""

from pathlib import Path
from typing import Any

import pytest
from attrs import fields, fields_dict
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scenario_documents import (
    ANY_TOML,
    GROUP_KEYS,
    SLO_LIMITS,
    SYNTHETIC,
    SYNTHETIC_OPTIONS,
    TABLES,
    TRACE_OPTIONS,
    Document,
    documents,
    load_document,
    places,
    refusal_line,
    with_value,
)

from emu.refusal import Refusal
from emu.scenario import Scenario
from emu.scenario.load import load
from emu.scenario.origin import dotted
from emu.scenario.schema import MachineGroup, Slo, WorkloadSource
from emu.scenario.write import resolved_toml

unhurried = settings(deadline=None)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenario")
    (folder / "trace.csv").touch()
    return folder


def refused(folder: Path, document: Document, *overrides: str) -> str:
    """The one line that the document is refused with."""
    line = refusal_line(folder, document, *overrides)
    assert line is not None
    assert line.isprintable()
    return line


def test_the_drawn_documents_use_every_key() -> None:
    classes: dict[str, Any] = {attribute.name: attribute.type for attribute in fields(Scenario)}
    for table, keys in TABLES.items():
        assert set(keys) == set(fields_dict(classes[table]))
    assert set(GROUP_KEYS) == set(fields_dict(MachineGroup))
    assert {"preset", *SLO_LIMITS} == set(fields_dict(Slo))
    drawn = {"trace", "requests", "burstiness", *SYNTHETIC, *SYNTHETIC_OPTIONS, *TRACE_OPTIONS}
    assert drawn == set(fields_dict(WorkloadSource))


@unhurried
@given(documents())
def test_what_is_written_back_loads_as_the_same_scenario(folder: Path, document: Document) -> None:
    scenario = load_document(folder, document)
    text = resolved_toml(scenario)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "scenario.toml").write_text(text)
    again = load(elsewhere / "scenario.toml")
    assert again == scenario
    assert resolved_toml(again) == text


@unhurried
@given(documents(), st.data())
def test_every_number_can_be_set_from_the_command_line(folder: Path, document: Document, data: st.DataObject) -> None:
    leaves = [(key, value) for key, value in places(document) if type(value) in (int, float)]
    expected = load_document(folder, document)
    assume(leaves)
    key, value = data.draw(st.sampled_from(leaves))
    spoilt = with_value(document, key, "not this")
    assert load_document(folder, spoilt, f"{dotted(key)}={value!r}") == expected


@unhurried
@given(documents(), st.data())
def test_an_unknown_key_is_refused_by_its_full_name_with_the_nearest(
    folder: Path, document: Document, data: st.DataObject
) -> None:
    tables = [((), document), *((key, value) for key, value in places(document) if isinstance(value, dict))]
    key, table = data.draw(st.sampled_from([(key, table) for key, table in tables if table]))
    known = data.draw(st.sampled_from(sorted(table)))
    line = refused(folder, with_value(document, (*key, f"{known}x"), 1))
    assert line.startswith(f"{folder / 's.toml'}: {dotted((*key, known + 'x'))}: expected a known key")
    assert line.endswith(f"(the nearest is {dotted((*key, known))})")


def wrong(value: object) -> st.SearchStrategy[Any]:
    """Values of a type that cannot stand where this one stands."""
    if isinstance(value, list | dict):
        return st.sampled_from([True, 3, 0.5, "text"])
    if isinstance(value, str):
        return st.sampled_from([True, 0.5, [], {}, [1], float("nan")])
    return st.sampled_from([True, False, "3", float("nan"), float("inf"), -float("inf"), [], {}, -1, 10**400])


@unhurried
@given(documents(), st.data())
def test_a_wrong_type_is_refused_by_its_full_key(folder: Path, document: Document, data: st.DataObject) -> None:
    key, value = data.draw(st.sampled_from(list(places(document))))
    line = refused(folder, with_value(document, key, data.draw(wrong(value))))
    assert line.startswith(f"{folder / 's.toml'}: {dotted(key)}: expected ")


@settings(unhurried, max_examples=300)
@given(documents(), st.data(), ANY_TOML)
def test_any_change_of_a_scenario_loads_or_is_refused(
    folder: Path, document: Document, data: st.DataObject, value: Any
) -> None:
    key, _ = data.draw(st.sampled_from(list(places(document))))
    new = data.draw(st.sampled_from([key, (*key[:-1], "new"), ("faults",), ("delays",)]))
    spoilt = with_value(document, key if isinstance(key[-1], int) else new, value)
    assert (refusal_line(folder, spoilt) or "").isprintable()


@unhurried
@given(documents(), st.text(max_size=30) | st.builds("{}={}".format, st.from_regex(r"[a-z.\[\]0-9]+"), st.text()))
@example({}, "machines[0][0]=1")
@example({}, "router=" + "[" * 100_000)
@example({}, "seed=" + "1" * 5000)
@example({}, "name=\udcff")
def test_any_override_applies_or_is_refused(folder: Path, document: Document, override: str) -> None:
    assert (refusal_line(folder, document, override) or "").isprintable()


@unhurried
@given(st.text() | st.binary())
@example("a = " + "[" * 100_000)
@example("a = " + "1" * 5000)
@example("name = 'x'\nname = 'y'\n")
def test_a_file_that_is_no_scenario_is_refused(folder: Path, content: str | bytes) -> None:
    path = folder / "garbage.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(Refusal) as refusal:
        load(path)
    assert str(refusal.value).isprintable()
    assert str(refusal.value).startswith(str(path))
