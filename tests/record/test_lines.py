"""A record file: what it says can be read back, and its digest can be had without us."""

import hashlib
import io
from array import array

import pytest

from emu.cluster import Cluster
from emu.record.entries import KINDS, Entry, PrefillSlice, StepStarted
from emu.record.lines import ENCODERS, decode
from emu.record.start import RunStarted
from emu.run import build
from emu.scenario.schema import MachineGroup, Scenario, WorkloadSource
from emu.workload.table import Workload


class Kept:
    """Every entry of a run, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.handlers = dict.fromkeys(KINDS, self.entries.append)


def test_a_record_file_reads_back_and_its_digest_is_that_of_its_lines() -> None:
    pools = [MachineGroup(pool=pool, hardware="dgx-h100", tensor_parallel=8) for pool in ("prefill", "decode")]
    source = WorkloadSource(synthetic="azure-conv", rate_rps=1.0, duration_s=1.0)
    scenario = Scenario(name="small", model="llama2-70b", machines=tuple(pools), workload=source)
    workload = Workload("made up", array("q", [0, 5, 5]), array("i", [900, 20, 3000]), array("i", [4, 1, 9]))
    cluster, file, kept = Cluster.of(scenario), io.BytesIO(), Kept()
    run = build(cluster, workload, (kept,), file)
    run.go()
    digest = run.log.digest()
    first, rest = file.getvalue().split(b"\n", 1)
    assert RunStarted.of_line(first.decode()) == cluster.started(workload)
    assert [decode(line) for line in rest.decode().splitlines()] == kept.entries
    assert [type(decode(line)) for line in rest.decode().splitlines()] == [type(entry) for entry in kept.entries]
    assert hashlib.blake2b(rest, digest_size=16).hexdigest() == digest


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_reads_back(kind: type[Entry]) -> None:
    values: list[object] = list(range(len(kind._fields)))
    if kind is StepStarted:
        values[2:5] = (PrefillSlice(1, 0, 0, 20, 0, 3, 2),), (4, 5), ()
    entry = kind(*values)  # type: ignore[arg-type]
    assert decode(ENCODERS[kind](entry)) == entry


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"entry":"Nothing"}', '{"entry":"Arrived","at_ps":1}', "3"])
def test_what_is_no_entry_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError, match=r"not an entry|Expecting"):
        decode(line)
