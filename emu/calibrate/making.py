"""From a table of measurements, of either form, to profiles with their evidence, and to the text of their files.

Remaking is deterministic: the same table gives the same bytes. Model and hardware profiles, which are written by hand,
are read, not made.
"""

import csv
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import tomli_w

from emu.calibrate import fit
from emu.calibrate.errors import derived_evidence, evidence
from emu.calibrate.grid_errors import miss_of, with_evidence
from emu.calibrate.grid_fit import Subject
from emu.calibrate.misses import Miss, summary
from emu.calibrate.mixed_fit import with_mixed
from emu.calibrate.simple_table import CELLS, COLUMNS, UNNAMED, Key, StepCell, read_steps
from emu.calibrate.table import read_cells
from emu.fake.costs import CalibratedCosts
from emu.fake.profiles import HardwareProfile, ModelProfile, load_hardware, load_model
from emu.fake.step_profiles import StepProfile
from emu.refusal import Refusal

CAPPED_OF = {"dgx-h100": "dgx-h100-capped"}
"""Machines that are derived from a measured one."""

_HEADER = """\
# Made by `emu calibrate`; do not edit: a test remakes it and compares.
# Times are picoseconds. Which rule turns these curves into a step's time: emu/fake/costs.py.
"""


@attrs.frozen(slots=True)
class Choice:
    """What of a table is wanted, or what a table that names nothing is of. None: whatever the table says.

    `files` are profiles of the user's own, by the names inside them.
    """

    model: str | None = None
    hardware: str | None = None
    tensor_parallel: int | None = None
    files: tuple[ModelProfile | HardwareProfile, ...] = ()

    @classmethod
    def of(cls, model: str | None, hardware: str | None, tensor_parallel: int | None) -> "Choice":
        """Names, or paths of profiles. Raises `Refusal` for a path that is no profile."""
        files: list[ModelProfile | HardwareProfile] = []
        if model is not None and _is_path(model):
            files.append(load_model(model))
            model = files[-1].name
        if hardware is not None and _is_path(hardware):
            files.append(load_hardware(hardware))
            hardware = files[-1].name
        return cls(model, hardware, tensor_parallel, tuple(files))

    @property
    def key(self) -> Key:
        """For a table that names nothing."""
        return self.model or UNNAMED, self.hardware or UNNAMED, self.tensor_parallel or 1

    @property
    def words(self) -> str:
        """What was asked for, and nothing else."""
        asked = (self.model, self.hardware and f"on {self.hardware}")
        gpus = f"at tensor_parallel {self.tensor_parallel}" if self.tensor_parallel else None
        return " ".join(word for word in (*asked, gpus) if word)

    def takes(self, key: Key) -> bool:
        wanted = (self.model, self.hardware, self.tensor_parallel)
        return all(mine is None or mine == theirs for mine, theirs in zip(wanted, key, strict=True))


def profiles_of(
    table: Path, choice: Choice | None = None, unseen: Path | None = None, *, mixed: bool = False
) -> tuple[StepProfile, ...]:
    """Every chosen profile that the table gives, derived ones included, each with its evidence: to which `unseen`, a
    simple table that no profile is fitted to, adds the errors on its cells. With `mixed` what mixed steps take beyond
    the rule is fitted as well, which needs a grid of them.

    Raises `Refusal` for a table that cannot be read or fitted, and where nothing is left to choose.
    """
    choice = choice or Choice()
    if mixed and not is_simple(table):
        raise Refusal(str(table), f"expected mixed steps, in the columns {','.join(COLUMNS)}")
    made = _of_simple(table, choice, mixed) if is_simple(table) else _of_splitwise_sim(table)
    chosen = tuple(profile for profile in made if choice.takes(_key(profile)))
    if not chosen:
        there_are = "; ".join(named(_key(profile)) for profile in made)
        raise Refusal(str(table), f"expected measurements of {choice.words}; there are {there_are}")
    return chosen if unseen is None else tuple(_with_unseen(profile, unseen) for profile in chosen)


def as_hardware(profile: StepProfile, hardware: str) -> StepProfile:
    """The same step times on another machine with the same GPUs, which the source then says."""
    source = f"{profile.hardware}'s, whose GPUs these are: {profile.source}"
    return attrs.evolve(profile, hardware=hardware, source=source)


def is_simple(table: Path) -> bool:
    """Whether the table has the simple form. Raises `Refusal` when it has neither, or cannot be read."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refusal(str(table), f"expected a table of measurements ({reason})") from None
    columns = rows[0] if rows else []
    if "phase" in columns:
        return True
    if "prompt_size" in columns:
        return False
    expected = f"expected the columns {','.join(COLUMNS)}, or those of splitwise-sim's perf_model.csv"
    raise Refusal(f"{table}:1", expected)


def subject_of(key: Key, files: tuple[ModelProfile | HardwareProfile, ...] = ()) -> Subject:
    """What is known of the measured model and machine; names that no profile has are no mistake here."""
    models = [each for each in files if isinstance(each, ModelProfile)]
    machines = [each for each in files if isinstance(each, HardwareProfile)]
    model = next((each for each in models if each.name == key[0]), None) or _known_model(key[0])
    return Subject(
        key, model, next((each for each in machines if each.name == key[1]), None) or _known_hardware(key[1])
    )


def named(key: Key) -> str:
    return f"{key[0]} on {key[1]} at tensor_parallel {key[2]}"


def file_name(profile: StepProfile) -> str:
    """The name under which `load_steps` looks for it."""
    return f"{profile.model}.{profile.hardware}.tp{profile.tensor_parallel}.toml"


def as_toml(profile: StepProfile) -> str:
    """The file's text."""
    parts = attrs.asdict(profile, filter=lambda _, value: value is not None)
    return _HEADER + tomli_w.dumps(parts, multiline_strings=False)


def _of_simple(table: Path, choice: Choice, mixed: bool) -> tuple[StepProfile, ...]:
    found = read_steps(table, choice.key)
    wanted = {key: cells for key, cells in found.items() if choice.takes(key)} or found
    profiles: list[StepProfile] = []
    for key, cells in wanted.items():
        with _of(table, key):
            profile, _ = with_evidence(cells, subject_of(key, choice.files), _provenance(table, cells, key))
            profiles.append(with_mixed(profile, cells) if mixed else profile)
    return tuple(profiles)


@contextmanager
def _of(table: Path, key: Key) -> Iterator[None]:
    """What the cells lack, the table lacks."""
    try:
        yield
    except Refusal as refusal:
        if refusal.where != CELLS:
            raise
        where = str(table) if UNNAMED in key else f"{table}: {named(key)}"
        raise Refusal(where, refusal.expected) from None


def _with_unseen(profile: StepProfile, unseen: Path) -> StepProfile:
    key, costs = _key(profile), CalibratedCosts(profile)
    cells = read_steps(unseen, key).get(key)
    if cells is None:
        raise Refusal(str(unseen), f"expected rows of {named(key)}")
    found = {
        f"unseen_{phase}": summary(Miss(miss_of(costs, cell)) for cell in cells if cell.phase == phase)
        for phase in ("prefill", "decode", "mixed")
    }
    return attrs.evolve(profile, evidence=profile.evidence | {part: each for part, each in found.items() if each})


def _of_splitwise_sim(table: Path) -> tuple[StepProfile, ...]:
    profiles: list[StepProfile] = []
    for (model_name, hardware_name, tensor_parallel), cells in read_cells(table).items():
        model, hardware = load_model(model_name), load_hardware(hardware_name)
        with _of(table, (model_name, hardware_name, tensor_parallel)):
            fitted = fit.fit(cells, model, hardware, tensor_parallel)
            found = evidence(cells, model, hardware, fitted)
        profiles.append(attrs.evolve(fitted, evidence=found))
        if hardware_name in CAPPED_OF:
            capped = fit.derive_capped(fitted, load_hardware(CAPPED_OF[hardware_name]))
            profiles.append(attrs.evolve(capped, evidence=derived_evidence(found)))
    return tuple(profiles)


def _provenance(table: Path, cells: tuple[StepCell, ...], key: Key) -> str:
    digest = hashlib.blake2b(table.read_bytes(), digest_size=16).hexdigest()
    rows = sum(len(cell.ms) for cell in cells)
    with table.open(newline="", encoding="utf-8-sig") as file:
        devices = sorted({row.get("device") or "" for row in csv.DictReader(file)} - {""})
    by = f" on {'; '.join(devices)}" if devices else ""
    shard = any("all-reduce" in row for row in table.read_text(encoding="utf-8-sig").splitlines())
    sums = f"; a shard of {key[2]}, its all-reduces added by emu/calibrate/all_reduce.py" if shard else ""
    return f"measured{by}: {table.name}, BLAKE2b-128 {digest}, {rows} rows of {len(cells)} cells{sums}"


def _key(profile: StepProfile) -> Key:
    return profile.model, profile.hardware, profile.tensor_parallel


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith(".toml")


def _known_model(name: str) -> ModelProfile | None:
    try:
        return load_model(name)
    except Refusal:
        return None


def _known_hardware(name: str) -> HardwareProfile | None:
    try:
        return load_hardware(name)
    except Refusal:
        return None
