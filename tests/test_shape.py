"""Classes of `emu.shape` beside the same classes of attrs: nobody who uses one can tell which it is."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from emu import shape


def positive(_instance: object, attribute: Any, value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name}: {value}")


def classes(made_by: Any) -> dict[str, Any]:
    """One of each kind that the project has."""

    @made_by.frozen
    class Point:
        x: int
        y: int = 2

        @property
        def sum(self) -> int:
            return self.x + self.y

    @made_by.frozen(kw_only=True)
    class Choice:
        name: str
        count: int = made_by.field(default=1, validator=positive)
        words: list[str] = made_by.field(factory=list, repr=False)

    @made_by.define(eq=False)
    class Core:
        rules: Any
        _seen: int
        open: dict[int, str] = made_by.field(init=False, factory=dict)
        last: int = made_by.field(init=False)
        rate: float = 0.5

        def __attrs_post_init__(self) -> None:
            self.last = len(self.open) + self._seen

        def told(self) -> str:
            return f"core {self.last}"

    @made_by.define(eq=False)
    class Faulty(Core):
        kinds: list[int] = made_by.field(factory=list)

        def told(self) -> str:
            return f"faulty {super().told()}"

    @made_by.define
    class Tally:
        count: int = 0
        notes: Any = made_by.field(default=None, eq=False)

    @made_by.frozen(eq=False)
    class Costs:
        profile: str
        _rows: dict[int, int] = made_by.field(factory=dict, init=False, repr=False)

    @made_by.frozen
    class Empty:
        """Nothing in it."""

    return {kind.__name__: kind for kind in (Point, Choice, Core, Faulty, Tally, Costs, Empty)}


def told(act: Callable[[dict[str, Any]], Any], made: dict[str, Any]) -> str:
    """What comes of it, in words, mistakes included."""
    try:
        return repr(act(made))
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


@pytest.mark.parametrize(
    "act",
    [
        lambda of: of["Point"](1),
        lambda of: of["Point"](1, 3).sum,
        lambda of: of["Point"](y=1, x=3),
        lambda of: of["Point"](1) == of["Point"](1, 2),
        lambda of: of["Point"](1) == (1, 2),
        lambda of: of["Point"](1) == of["Empty"](),
        lambda of: of["Empty"]() == of["Empty"](),
        lambda of: len({of["Point"](1), of["Point"](1, 2), of["Point"](2)}),
        lambda of: len({of["Empty"](), of["Empty"]()}),
        lambda of: setattr(of["Point"](1), "x", 2),
        lambda of: delattr(of["Point"](1), "x"),
        lambda of: of["Point"](1).z,
        lambda of: setattr(of["Core"](1, 2), "z", 2),
        lambda of: attrs.evolve(of["Point"](1), y=5),
        lambda of: attrs.evolve(of["Choice"](name="a"), count=0),
        lambda of: attrs.asdict(of["Choice"](name="a", words=["b"])),
        lambda of: attrs.asdict(of["Point"](of["Point"](1))),
        lambda of: [(each.name, each.type, each.init, each.kw_only) for each in attrs.fields(of["Core"])],
        lambda of: list(attrs.fields_dict(of["Choice"])),
        lambda of: [attrs.has(kind) for kind in of.values()],
        lambda of: of["Choice"](name="a"),
        lambda of: of["Choice"](name="a", count=0),
        lambda of: of["Choice"](name="a").words is of["Choice"](name="a").words,
        lambda of: of["Choice"](name="a") == of["Choice"](name="a", words=[]),
        lambda of: of["Core"]("rules", 3),
        lambda of: of["Core"]("rules", seen=3).last,
        lambda of: of["Core"]("rules", 3) == of["Core"]("rules", 3),
        lambda of: of["Core"]("rules", 3).open is of["Core"]("rules", 3).open,
        lambda of: of["Faulty"]("rules", 3, kinds=[1]).told(),
        lambda of: of["Faulty"]("rules", 3),
        lambda of: of["Faulty"]("rules", 3).told(),
        lambda of: hash(of["Tally"]()),
        lambda of: of["Tally"](1, "a") == of["Tally"](1, "b"),
        lambda of: of["Tally"](1) != of["Tally"](2),
        lambda of: of["Costs"]("a"),
        lambda of: of["Costs"]("a")._rows,
        lambda of: of["Costs"]("a") == of["Costs"]("a"),
        lambda of: copy.copy(of["Point"](1, 4)),
        lambda of: copy.deepcopy(of["Choice"](name="a", words=["b"])).words,
        lambda of: [kind.__match_args__ for kind in of.values()],
        lambda of: [kind.__doc__ for kind in of.values()],
        lambda of: [kind.__qualname__ for kind in of.values()],
        lambda of: [inspect.getattr_static(of["Core"], name).__class__ for name in ("rules", "_seen")],
        lambda of: hasattr(of["Core"]("rules", 3), "__dict__"),
        lambda of: issubclass(of["Faulty"], of["Core"]),
    ],
)
def test_it_means_what_attrs_means(act: Callable[[dict[str, Any]], Any]) -> None:
    """For the first objects of a class and for all others, which have an `__init__` of their own."""
    ours, theirs = classes(shape), told(act, classes(attrs))
    assert [told(act, ours) for _ in range(shape.FEW + 2)] == [theirs] * (shape.FEW + 2)


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})]
)
def test_what_does_not_fit_is_a_type_error_at_the_first_object_and_later(
    given: tuple[int, ...], named: dict[str, int]
) -> None:
    made = classes(shape)["Point"]
    for _ in range(2):
        with pytest.raises(TypeError, match="argument"):
            made(*given, **named)
    assert made(1).sum == 3


@shape.frozen
class Sent:
    """What goes to another process."""

    number: int
    words: tuple[str, ...] = ()


def test_frozen_values_go_to_other_processes() -> None:
    sent = Sent(3, ("a",))
    assert pickle.loads(pickle.dumps(sent)) == sent
    assert repr(pickle.loads(pickle.dumps(sent))) == "Sent(number=3, words=('a',))"


def test_the_first_object_of_a_class_that_another_inherits_from_may_be_the_others() -> None:
    made = classes(shape)
    inherits = type("Inherits", (made["Core"],), {})
    assert inherits("rules", 4).told() == "core 4"
    assert made["Core"]("rules", 5).told() == "core 5"


@pytest.mark.parametrize("by", [attrs, shape])
def test_a_class_of_attrs_may_inherit_from_one_of_ours(by: Any) -> None:
    """Parts of one's own do: see docs/policies.md."""
    made = classes(shape)
    faulty: Any = made["Faulty"]
    point: Any = made["Point"]

    @by.define(eq=False)
    class Own(faulty):  # type: ignore[misc]
        times: int = 3
        said: list[str] = by.field(init=False, factory=list)

        def told(self) -> str:
            return f"own {super().told()} {self.times}"

    @by.frozen
    class Spot(point):  # type: ignore[misc]
        z: int = 0

    own = Own("rules", 4, kinds=[2], times=5)
    assert own.told() == "own faulty core 4 5"
    assert (own.said, own.kinds, own.open, own.rate) == ([], [2], {}, 0.5)
    assert repr(own) == repr(Own("rules", 4, 0.5, [2], 5))
    assert repr(Spot(1, z=4)) == "Spot(x=1, y=2, z=4)"
    assert Spot(1) == Spot(1, 2, 0) != Spot(2)
    spot: Any = Spot(1)
    assert attrs.evolve(spot, y=3).sum == 4
