"""Circles: waits that end only if they have ended. Pure: what waits for what is its readers'."""

from __future__ import annotations

from collections.abc import Iterable

Wait = tuple[int, int, int]  # a request; the machine that holds its cache; the one on whose blocks it waits


def circle(waits: Iterable[Wait]) -> tuple[Wait, ...]:
    """Waits of which each is for a machine that holds the cache of the next, and the last for that of the first.

    The first such circle, by machines; nothing where there is none.
    """
    by_holder: dict[int, list[Wait]] = {}
    for wait in sorted(waits):
        by_holder.setdefault(wait[1], []).append(wait)
    done: set[int] = set()
    for start in sorted(by_holder):
        path: list[Wait] = []
        steps = [iter(by_holder[start])]
        while steps:
            following = next(steps[-1], None)
            if following is None:
                steps.pop()
                if path:
                    done.add(path.pop()[2])
                continue
            wait = following
            machine = wait[2]
            holders = [passed[1] for passed in path] + [wait[1]]
            if machine in holders:
                return (*path[holders.index(machine) :], wait)
            if machine in by_holder and machine not in done:
                path.append(wait)
                steps.append(iter(by_holder[machine]))
        done.add(start)
    return ()
