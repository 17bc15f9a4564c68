"""Ways: which ways between machines are cut or slow, on one plane. A way has a direction; one may name no end."""

from __future__ import annotations

from attrs import define, field

from emu.fake.plan import ANY, SCALE

Way = tuple[int, int]  # from, to


@define(eq=False, repr=False)
class Ways:
    """Several faults can lie on one way: one cut is enough, and factors multiply."""

    _faults: dict[Way, list[int]] = field(init=False, factory=dict)  # thousandths of the time; 0: cut

    def strike(self, ways: tuple[Way, ...], factor: int) -> None:
        for way in ways:
            self._faults.setdefault(way, []).append(factor)

    def heal(self, ways: tuple[Way, ...], factor: int) -> None:
        for way in ways:
            self._faults[way].remove(factor)
            if not self._faults[way]:
                del self._faults[way]

    def factor(self, source: int, target: int) -> int:
        """In thousandths, how many times as long this way takes; 0 where nothing gets through."""
        faults, product = self._faults, SCALE
        if not faults:
            return product
        for way in ((source, target), (source, ANY), (ANY, target)):
            for factor in faults.get(way, ()):
                product = product * factor // SCALE
        return product


def ways_of(machine: int, peer: int, one_way: bool) -> tuple[Way, ...]:
    """Those that a fault lies on: between two machines, or all of one; with `one_way` only from the first, or out."""
    return ((machine, peer),) if one_way else ((machine, peer), (peer, machine))
