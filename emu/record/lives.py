"""Lives: a fold that follows every request from its arrival to its end, and each gap between two of its tokens.

What happened to a request becomes a row of requests.csv, a few numbers in arrays, and a verdict of the SLOs; only open
requests keep more. Between changes of a batch all its members have tokens at the same moments, so gaps are followed by
machine (`emu.record.runs`) and asked for when a sequence leaves. How machines spend their time is `emu.record.usage`'s.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO

from emu.record import entries as e
from emu.record.histogram import LogHistogram
from emu.record.life import NEVER, Life
from emu.record.requests_csv import RequestsCsv
from emu.record.runs import Runs
from emu.record.slo import Absolute, Limit, Slo, Slowdowns
from emu.record.start import RunStarted

_STATUS_WORDS: Final = tuple(status.name.lower() for status in e.Status)
_COMPLETED: Final = int(e.Status.COMPLETED)
_PREFILL: Final = int(e.SliceKind.PREFILL)


class Lives:
    """Requests of one run, to the file `csv` if one is given; `slo_limits` None: the paper's nine slowdowns.

    Durations are arrays of picoseconds. `ttst_ps`, `tpot_ps` and `e2e_ps` are those of completed requests, the others
    of every request that came so far; `gaps` are all gaps between tokens, whatever became of the request.
    """

    def __init__(
        self, started: RunStarted, csv: TextIO | None = None, slo_limits: tuple[Limit, ...] | None = None
    ) -> None:
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            e.Arrived: self._arrived,
            e.Assigned: self._assigned,
            e.StepStarted: self._step_started,
            e.StepFinished: self._step_finished,
            e.StepsCut: self._steps_cut,
            e.MachineCrashed: self._machine_gone,
            e.MachineLeft: self._machine_gone,
            e.AttemptLost: self._attempt_lost,
            e.Resumed: self._resumed,
            e.TransferStarted: self._transfer_started,
            e.Committed: self._committed,
            e.RequestEnded: self._ended,
        }
        self.arrived = 0
        self.ended = [0] * len(e.Status)
        self.output_tokens = 0
        self.first_arrival_ps = NEVER
        self.last_end_ps = NEVER
        self.ttft_ps, self.ttst_ps, self.tpot_ps = array("q"), array("q"), array("q")
        self.e2e_ps, self.queue_ps = array("q"), array("q")
        self.transfer_ps, self.remainder_ps = array("q"), array("q")
        self.gaps = LogHistogram()
        self.transfers = 0
        self.transfer_bytes = 0
        self.overlapped_byte_ps = 0
        self.moving_byte_ps = 0
        self.slo: Slo = Slowdowns() if slo_limits is None else Absolute(slo_limits)
        self._csv = None if csv is None else RequestsCsv(csv, [machine.name for machine in started.machines])
        self._open: dict[int, Life] = {}
        self._runs = tuple(Runs() for _ in started.machines)

    def close(self) -> None:
        """Write the rows of requests that never ended, as open. Only a run that broke a law has them."""
        if self._csv is None:
            return
        for life in self._open.values():
            if life.decodes_on != NEVER:
                self._leave(life)
            self._csv.add(life, "open", NEVER, 0)
        self._open.clear()
        self._csv.close()

    def _arrived(self, entry: e.Arrived) -> None:
        at_ps, request, prompt_tokens, _ = entry
        if not self.arrived:
            self.first_arrival_ps = at_ps
        self.arrived += 1
        self._open[request] = Life(request, at_ps, prompt_tokens)

    def _assigned(self, entry: e.Assigned) -> None:
        _, request, _, prefill_machine, decode_machine, _, _, _ = entry
        life = self._open.get(request)
        if life is None:
            return
        life.attempts += 1
        life.prefill_machine = prefill_machine
        life.decode_machine = decode_machine
        if life.attempts > 1:  # what an attempt that was given up had moved does not count
            life.transfer_start_ps = life.transfer_end_ps = NEVER
            life.transfer_bytes = 0

    def _step_started(self, entry: e.StepStarted) -> None:
        at_ps, machine, prefills, joined, left, _, _, _, _, _ = entry
        find = self._open.get
        for request in left:
            life = find(request)
            if life is not None and life.decodes_on == machine:
                self._leave(life)
        runs = self._runs[machine]
        runs.joined, runs.prefills = joined, prefills
        for piece in prefills:
            life = find(piece[0])
            # a start whose token never came is overwritten by that of the next attempt
            if life is not None and life.first_token_ps == NEVER:
                life.prefill_start_ps = at_ps

    def _step_finished(self, entry: e.StepFinished) -> None:
        at_ps, machine, started_ps, steps, sequences, _, first_step_ps, growth_ps, _, _, _ = entry
        runs = self._runs[machine]
        joined, prefills = runs.joined, runs.prefills
        if sequences:
            longest_ps = first_step_ps + growth_ps * (steps - 1)
            if not joined and started_ps == runs.finished_ps:
                self.gaps.add_run(first_step_ps, growth_ps, steps, sequences)
                runs.end(at_ps, longest_ps)
            else:
                self._end_changed(entry, runs, longest_ps)
        if prefills:
            for piece in prefills:
                self._prefilled(piece, at_ps)
            runs.prefills = ()
        runs.joined = ()

    def _steps_cut(self, entry: e.StepsCut) -> None:
        """The steps that had ended; a crash took the rest."""
        if entry.steps:
            ended_ps = entry.growth_ps * (entry.steps * (entry.steps - 1) // 2) + entry.steps * entry.first_step_ps
            self._step_finished(e.StepFinished(entry.started_ps + ended_ps, *entry[1:]))

    def _machine_gone(self, entry: e.MachineCrashed | e.MachineLeft) -> None:
        for life in self._open.values():
            if life.decodes_on == entry.machine:
                self._leave(life)
        runs = self._runs[entry.machine]
        runs.joined, runs.prefills = (), ()

    def _attempt_lost(self, entry: e.AttemptLost) -> None:
        """What its next attempt makes again counts as if it were new; what came before stays."""
        life = self._open.get(entry.request)
        if life is not None and life.decodes_on != NEVER:
            self._leave(life)

    def _resumed(self, entry: e.Resumed) -> None:
        life = self._open.get(entry.request)
        if life is not None:
            life.resumed = entry.attempt

    def _end_changed(self, entry: e.StepFinished, runs: Runs, longest_ps: int) -> None:
        """A run in whose first step some sequences waited longer than it lasted."""
        at_ps, _, started_ps, steps, sequences, _, first_step_ps, growth_ps, _, _, _ = entry
        joined, gaps = runs.joined, self.gaps
        first_end_ps = started_ps + first_step_ps
        if steps > 1:
            gaps.add_run(first_step_ps + growth_ps, growth_ps, steps - 1, sequences)
        members = sequences - len(joined)
        waited_ps = 0
        if members:
            waited_ps = first_end_ps - runs.finished_ps
            gaps.add(waited_ps, members)
        runs.end(at_ps, max(longest_ps, waited_ps))
        for request in joined:
            life = self._open.get(request)
            if life is None:
                continue
            self._token(life, first_end_ps)
            if life.longest_gap_ps < longest_ps:  # in a later step; the first cannot exceed its own gap
                life.longest_gap_ps = longest_ps
            life.decodes_on, life.joined_run = entry.machine, runs.number

    def _prefilled(self, piece: e.PrefillSlice, at_ps: int) -> None:
        request, attempt, _, _, kind, _, _ = piece
        life = self._open.get(request)
        if life is None:
            return
        if kind != _PREFILL:
            self._token(life, at_ps)
        elif life.first_token_ps == NEVER:
            life.first_token_ps = life.last_token_ps = at_ps
        elif life.resumed == attempt:
            self._token(life, at_ps)

    def _token(self, life: Life, at_ps: int) -> None:
        """A token that came neither first nor from a batch that just went on."""
        gap_ps = at_ps - life.last_token_ps
        self.gaps.add(gap_ps)
        if gap_ps > life.longest_gap_ps:
            life.longest_gap_ps = gap_ps
        life.last_token_ps = at_ps
        if life.second_token_ps == NEVER:
            life.second_token_ps = at_ps

    def _leave(self, life: Life) -> None:
        """A sequence stops decoding: its last token came with its machine's last run."""
        runs = self._runs[life.decodes_on]
        life.longest_gap_ps = max(life.longest_gap_ps, runs.longest_since(life.joined_run))
        life.last_token_ps = runs.finished_ps
        life.decodes_on = NEVER

    def _transfer_started(self, entry: e.TransferStarted) -> None:
        life = self._open.get(entry.request)
        self.transfer_bytes += entry.bytes
        if life is None:
            return
        life.transfer_bytes += entry.bytes
        if life.transfer_start_ps == NEVER:
            life.transfer_start_ps = entry.at_ps
            self.transfers += 1

    def _committed(self, entry: e.Committed) -> None:
        _, _, request, _, layers, _, _, at_ps = entry  # when the data was there, whenever the machine looked
        life = self._open.get(request)
        if life is None or life.transfer_start_ps == NEVER:
            return
        life.transfer_end_ps = at_ps
        start_ps, first_token_ps = life.transfer_start_ps, life.first_token_ps
        self.transfer_ps.append(at_ps - start_ps)
        computed_ps = at_ps
        if first_token_ps != NEVER:
            computed_ps = first_token_ps
            self.remainder_ps.append(at_ps - first_token_ps)
        # the first byte there is to move belongs to the first layer, and layers are computed evenly
        first_layer_ps = life.prefill_start_ps + (computed_ps - life.prefill_start_ps) // max(1, layers)
        begin_ps = max(start_ps, first_layer_ps)
        self.overlapped_byte_ps += life.transfer_bytes * max(0, computed_ps - begin_ps)
        self.moving_byte_ps += life.transfer_bytes * (at_ps - begin_ps)

    def _ended(self, entry: e.RequestEnded) -> None:
        at_ps, request, status, output_tokens = entry.at_ps, entry.request, entry.status, entry.output_tokens
        life = self._open.pop(request, None)
        if life is None:
            return
        if life.decodes_on != NEVER:
            self._leave(life)
        self.ended[status] += 1
        self.last_end_ps = at_ps
        self.output_tokens += output_tokens
        if life.prefill_start_ps != NEVER:
            self.queue_ps.append(life.prefill_start_ps - life.arrived_ps)
        if life.first_token_ps != NEVER:
            self.ttft_ps.append(life.first_token_ps - life.arrived_ps)
        if status == _COMPLETED:
            life.last_token_ps = at_ps
            life.close(output_tokens)
            self.e2e_ps.append(at_ps - life.arrived_ps)
            if output_tokens > 1:
                self.ttst_ps.append(life.second_token_ps - life.arrived_ps)
                self.tpot_ps.append(life.mean_gap_ps)
            self.slo.completed(life, entry)
        else:
            life.close(output_tokens)
            self.slo.missed()
        if self._csv is not None:
            ended_ps = at_ps if status == _COMPLETED else NEVER
            self._csv.add(life, _STATUS_WORDS[status], ended_ps, entry.output_digest)
