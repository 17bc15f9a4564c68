"""Shapes: attrs' `define`, `frozen` and `field`, as much of them as this project uses, for a twentieth of the price.

attrs writes and compiles the methods of every class when its module is imported: 3.2 M instructions a class, and 420 M
of the 1,400 M that `emu run` took for a dozen requests. Here an `__init__` is compiled where many objects are made, and
the other methods are the same functions for all classes: 0.25 M. Type checkers are told that it is attrs, and what
reads such classes (`attrs.fields`, `evolve`, `asdict`, `has`) reads these: a class means the same under either. There
are always slots, validators are asked by `__init__` alone, and nothing can be ordered: for more there is attrs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from attrs import NOTHING, Attribute, Factory, make_class
from attrs import field as attrs_field
from attrs import fields as attrs_fields

if TYPE_CHECKING:
    from attrs import define, field, frozen

__all__ = ["define", "field", "frozen"]

FEW: Final = 16
"""Objects of a class that are filled field by field: to compile an `__init__` takes as long as that."""

_LEFT_BEHIND: Final = ("__dict__", "__weakref__")


class Field:
    """One field of a class; its attributes mean what those of `attrs.Attribute` mean."""

    __slots__ = (
        "alias",
        "default",
        "eq",
        "factory",
        "init",
        "kw_only",
        "metadata",
        "name",
        "repr",
        "type",
        "validator",
    )

    def __init__(
        self,
        *,
        default: Any = NOTHING,
        factory: Callable[[], Any] | None = None,
        validator: Callable[[Any, Any, Any], None] | None = None,
        init: bool = True,
        repr: bool = True,  # noqa: A002  attrs calls it so
        eq: bool = True,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.default = default if factory is None else factory
        self.factory = factory
        self.validator = validator
        self.init = init
        self.repr = repr
        self.eq = eq
        self.metadata = metadata or {}

    def named(self, name: str, kind: Any, *, kw_only: bool) -> Field:
        self.name, self.type, self.kw_only = name, kind, kw_only
        self.alias = name.lstrip("_")
        return self

    @property
    def inherited(self) -> bool:
        """As it stands in its own class. Whoever inherits from it by attrs asks, and wants what `evolve` gives."""
        return False

    def evolve(self, **changes: Any) -> Attribute[Any]:
        """The same as attrs has it, with changes."""
        default = self.default if self.factory is None else Factory(self.factory)
        same = {name: getattr(self, name) for name in ("validator", "init", "repr", "eq", "metadata", "kw_only")}
        (attribute,) = attrs_fields(make_class("Evolved", {self.name: attrs_field(default=default, **same)}))
        return cast("Attribute[Any]", attribute.evolve(type=self.type, **changes))


def _define(cls: type | None = None, /, *, frozen: bool = False, eq: bool = True, kw_only: bool = False) -> Any:
    """A class decorator, with or without arguments. The class is made again: slots must be there from the start."""
    if cls is None:
        return lambda later: _define(later, frozen=frozen, eq=eq, kw_only=kw_only)
    own = dict(cls.__dict__)
    inherited: tuple[Field, ...] = getattr(cls, "__attrs_attrs__", ())
    mine = {
        name: _field(own.get(name, NOTHING)).named(name, kind, kw_only=kw_only)
        for name, kind in own.get("__annotations__", {}).items()
    }
    fields = (*(found for found in inherited if found.name not in mine), *mine.values())
    body = {name: value for name, value in own.items() if name not in mine and name not in _LEFT_BEHIND}
    body["__qualname__"] = cls.__qualname__
    body["__slots__"] = tuple(name for name in mine if name not in {found.name for found in inherited})
    body["__attrs_attrs__"] = fields
    for name, method in _methods(fields, frozen=frozen, eq=eq).items():
        body.setdefault(name, method)
    made = type(cls)(cls.__name__, cls.__bases__, body)
    if "__init__" not in own:
        made.__init__ = _init_of(made, fields, frozen=frozen)  # type: ignore[misc]
    _tell_super(cls, made, own.values())
    return made


def _frozen(cls: type | None = None, /, *, eq: bool = True, kw_only: bool = False) -> Any:
    return _define(cls, frozen=True, eq=eq, kw_only=kw_only)


if not TYPE_CHECKING:
    define, frozen, field = _define, _frozen, Field


def _field(given: Any) -> Field:
    return given if isinstance(given, Field) else Field(default=given)


def _methods(fields: tuple[Field, ...], *, frozen: bool, eq: bool) -> dict[str, Any]:
    """What stands beside `__init__`, unless the class has its own."""
    methods: dict[str, Any] = {"__repr__": _repr, "__getstate__": _getstate, "__setstate__": _setstate}
    methods["__match_args__"] = tuple(found.name for found in fields if found.init and not found.kw_only)
    if eq:
        values = _values_of([found.name for found in fields if found.eq])
        methods["__eq__"] = lambda self, other: (
            values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented
        )
        methods["__hash__"] = (lambda self: hash(values(self))) if frozen else None
    if frozen:
        methods |= {"__setattr__": _refuse, "__delattr__": _refuse}
    return methods


def _values_of(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


def _init_of(cls: Any, fields: tuple[Field, ...], *, frozen: bool) -> Any:
    """An `__init__` that fills the first few objects field by field, and then puts a compiled one in its place."""
    made = 0

    def first(self: Any, *args: Any, **named: Any) -> None:
        nonlocal made
        made += 1
        if made > FEW or not _filled(self, fields, args, named):
            cls.__init__ = _compiled(cls, fields, frozen=frozen)
            cls.__init__(self, *args, **named)

    return first


def _filled(self: Any, fields: tuple[Field, ...], args: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Whether that went well; what is wrong with the arguments Python says best."""
    taken = called = 0
    for found in fields:
        if found.init and not found.kw_only and taken < len(args):
            value = args[taken]
            taken += 1
        elif found.init and found.alias in named:
            value = named[found.alias]
            called += 1
        elif found.default is not NOTHING:
            value = found.default if found.factory is None else found.factory()
        elif found.init:
            return False
        else:
            continue
        object.__setattr__(self, found.name, value)
    if taken < len(args) or called < len(named):
        return False
    for found in fields:
        if found.validator is not None:
            found.validator(self, found, getattr(self, found.name))
    if hasattr(self, "__attrs_post_init__"):
        self.__attrs_post_init__()
    return True


def _compiled(cls: Any, fields: tuple[Field, ...], *, frozen: bool) -> Any:
    """The `__init__` that attrs would write: fields in their order, then validators, then `__attrs_post_init__`."""
    known: dict[str, Any] = {"NOTHING": NOTHING}
    positional: list[str] = ["self"]
    named: list[str] = []
    lines: list[str] = []
    for index, found in enumerate(fields):
        value = found.alias
        if found.default is not NOTHING:
            known[f"default_{index}"] = found.default
            default = f"default_{index}" if found.factory is None else f"default_{index}()"
            value = f"{value} if {value} is not NOTHING else {default}" if found.init and found.factory else value
            value = value if found.init else default
        if found.init:
            waits = "" if found.default is NOTHING else f"=default_{index}" if found.factory is None else "=NOTHING"
            (named if found.kw_only else positional).append(f"{found.alias}{waits}")
        elif found.default is NOTHING:
            continue
        if frozen:
            known[f"set_{index}"] = getattr(cls, found.name).__set__
        lines.append(f"set_{index}(self, {value})" if frozen else f"self.{found.name} = {value}")
    for index, found in enumerate(fields):
        if found.validator is not None:
            known |= {f"check_{index}": found.validator, f"field_{index}": found}
            lines.append(f"check_{index}(self, field_{index}, self.{found.name})")
    if hasattr(cls, "__attrs_post_init__"):
        lines.append("self.__attrs_post_init__()")
    head = ", ".join([*positional, *(["*", *named] if named else [])])
    exec(f"def __init__({head}):\n " + "\n ".join(lines or ["pass"]), known)
    return known["__init__"]


def _tell_super(before: type, made: type, members: Iterable[Any]) -> None:
    """`super()` without arguments finds its class in a cell of the function, which holds the class before."""
    for member in members:
        function = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
        for cell in getattr(function, "__closure__", None) or ():
            if cell.cell_contents is before:
                cell.cell_contents = made


def _repr(self: Any) -> str:
    shown = (found for found in self.__attrs_attrs__ if found.repr)
    fields = ", ".join(f"{found.name}={getattr(self, found.name, NOTHING)!r}" for found in shown)
    return f"{type(self).__qualname__.rsplit('>.', 1)[-1]}({fields})"


def _getstate(self: Any) -> dict[str, Any]:
    names = (found.name for found in self.__attrs_attrs__)
    return {name: getattr(self, name) for name in names if hasattr(self, name)}


def _setstate(self: Any, state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        object.__setattr__(self, name, value)


def _refuse(_self: Any, *_: Any) -> NoReturn:
    from attrs.exceptions import FrozenInstanceError

    raise FrozenInstanceError
