"""Symptoms: what could be seen to be wrong, and from when to when, over a whole record.

Once a virtual second the state is judged by those rules of `emu.view.incident` that need no word of a fault: who is
slow, mute, silent, stuck. What lasts from one look to the next becomes a symptom in the survey, and a mark: a request
that misses its SLOs does so when it ends, and what hurt it may be over by then.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from emu.view.freeze import freeze
from emu.view.incident import GONE_PS, Finding, symptoms
from emu.view.rows import NEVER
from emu.view.state import ClusterState
from emu.view.survey import PS_PER_S, Mark, Survey, Symptom

LOOK_PS: Final = PS_PER_S
MOST: Final = 1000
Key = tuple[str, int]  # kind and machine


@define(eq=False)
class Watcher:
    """Call `look` when `next_ps` has come."""

    survey: Survey
    next_ps: int = LOOK_PS
    _seen: dict[Key, Finding] = field(init=False, factory=dict)  # at the last look
    _open: dict[Key, int] = field(init=False, factory=dict)  # places in the survey of those that may go on

    def look(self, state: ClusterState) -> None:
        """Judge this moment. A symptom that is seen twice in a row is one."""
        now_ps = state.at_ps
        self.next_ps = (now_ps // LOOK_PS + 1) * LOOK_PS
        found: dict[Key, Finding] = {}
        for finding in symptoms(freeze(state)):
            found.setdefault((finding.kind, finding.machine), finding)
        for key, finding in found.items():
            if key in self._open:
                self._go_on(key, now_ps)
            elif key in self._seen:
                self._begin(key, finding, now_ps)
        self._seen = found
        kept = self.survey.symptoms
        self._open = {key: place for key, place in self._open.items() if now_ps - kept[place].last_ps <= GONE_PS}

    def _begin(self, key: Key, finding: Finding, now_ps: int) -> None:
        kept = self.survey.symptoms
        if len(kept) >= MOST:
            return
        began_ps = min(finding.since_ps, now_ps)
        if finding.kind == "orphans":  # since when they are lent is known, not since when nobody wants them
            began_ps = max(began_ps, now_ps - 2 * LOOK_PS)
        self._open[key] = len(kept)
        kept.append(Symptom(finding.kind, finding.words, finding.request, finding.machine, began_ps, now_ps, now_ps))
        self.survey.mark(now_ps, Mark.SYMPTOM, finding.words, NEVER, finding.machine)

    def _go_on(self, key: Key, now_ps: int) -> None:
        kept, place = self.survey.symptoms, self._open[key]
        kept[place] = kept[place]._replace(last_ps=now_ps)
