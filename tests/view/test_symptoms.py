"""What was seen to be wrong over a record: when it began and ended, and never before it could be known."""

from pathlib import Path

import pytest
from kept_runs import reader_of
from small_clusters import Row, scenario_of, workload_of, written

from emu.record import entries as e
from emu.record.lines import ENCODERS
from emu.scenario.schema import Fault, Router
from emu.view.incident import findings, symptoms_since
from emu.view.reader import INDEX, Reader
from emu.view.show import run_text
from emu.view.survey import Symptom

S = 10**12
LOAD: list[Row] = [(at * 50, 900, 120) for at in range(160)]
ORACLE = (e.FaultStruck, e.FaultHealed, e.MachineCrashed, e.MachineStarted, e.StepsCut)


def blind_record(path: Path, *faults: Fault) -> Path:
    """A record without what only the emulated world knows of its faults."""
    patient = Router(detect_after_s=30.0)
    found = written(scenario_of(prefill=2, decode=2, faults=faults, router=patient), LOAD)
    lines = "".join(ENCODERS[type(entry)](entry) for entry in found.entries if not isinstance(entry, ORACLE))
    path.mkdir()
    (path / "record.jsonl").write_text(found.run.cluster.started(workload_of(LOAD)).line() + lines)
    return path


def of_kind(reader: Reader, kind: str) -> list[Symptom]:
    return [symptom for symptom in reader.survey.symptoms if symptom.kind == kind]


def test_a_machine_that_hangs_is_told_with_its_time(tmp_path: Path) -> None:
    reader = reader_of(
        blind_record(tmp_path / "run", Fault(kind="hang", machine="decode-1", at_s=2.0, heal_after_s=4.0))
    )
    [mute] = of_kind(reader, "mute")
    assert mute.words.startswith("decode-1 takes nothing")
    assert 1.9 * S <= mute.began_ps <= 3 * S
    assert 5 * S <= mute.last_ps <= 7 * S
    said = run_text(reader.view(8 * S), reader.survey)
    assert f"{mute.began_ps / S:.3f} s to {mute.last_ps / S:.3f} s  decode-1 takes nothing" in said


def test_what_will_be_wrong_is_not_known_before(tmp_path: Path) -> None:
    reader = reader_of(blind_record(tmp_path / "run", Fault(kind="slow", machine="decode-0", at_s=2.0, factor=6.0)))
    [slow] = of_kind(reader, "slow steps")
    assert not symptoms_since(reader.survey, 0, slow.seen_ps - 1)
    assert symptoms_since(reader.survey, 0, slow.seen_ps) == [slow]
    at_ps = slow.seen_ps + 2 * S
    [finding] = [each for each in findings(reader.view(at_ps), reader.survey) if each.kind == "slow steps"]
    assert finding.since_ps <= slow.began_ps


def test_a_run_without_faults_has_no_symptoms(tmp_path: Path) -> None:
    assert not reader_of(blind_record(tmp_path / "well")).survey.symptoms


def test_an_index_keeps_symptoms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emu.view.reader.EVERY_ENTRIES", 200)
    folder = blind_record(tmp_path / "ill", Fault(kind="pause", machine="decode-1", at_s=2.0, heal_after_s=4.0))
    first = reader_of(folder)
    assert first.survey.symptoms
    again = Reader(folder)
    assert (folder / INDEX).is_file()
    assert again.over  # without having read
    assert again.survey.symptoms == first.survey.symptoms
    again.close()
