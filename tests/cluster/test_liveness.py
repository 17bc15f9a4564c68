"""A run in which something got lost ends, as a broken law that says who waits for what."""

from pathlib import Path

import pytest
from small_clusters import Row, scenario_of, workload_of, written

from emu.cluster import Cluster
from emu.control.messages import Assign, Grant, Message, Signal
from emu.control.standoff import Standoff
from emu.execute import law_rules
from emu.fake.link import FakeLink
from emu.fake.wire import WirePort
from emu.laws.checker import Checker
from emu.laws.verdicts import Broken
from emu.record.entries import AttemptLost, MachineClosed, Reason, RequestEnded, Status
from emu.reliability.trial import Trials
from emu.run import build
from emu.scenario.load import load
from emu.scenario.schema import Network, Router

REQUESTS: list[Row] = [(0, 300, 5), (40, 600, 5), (80, 900, 5)]


def judged() -> tuple[int, dict[str, list[Broken]]]:
    """Requests that were left open, and what was broken, by law."""
    cluster, workload = Cluster.of(scenario_of()), workload_of(REQUESTS)
    checker = Checker(cluster.started(workload), law_rules(cluster))
    run = build(cluster, workload, checker.laws)
    run.go()
    broken: dict[str, list[Broken]] = {}
    for verdict in checker.finish():
        broken.setdefault(verdict.law, []).append(verdict)
    return run.open_requests, broken


def test_nothing_is_broken_when_nothing_is_lost() -> None:
    assert judged() == (0, {})


def test_a_cluster_without_any_delay_ends() -> None:
    """Reports after every change, on wires that take no time: there is always a next report, and it is now."""
    scenario = scenario_of(2, 2, router=Router(report_every_s=0.0), network=Network(control_latency_s=0.0))
    assert written(scenario, REQUESTS).run.open_requests == 0


def test_a_signal_that_is_always_lost_costs_its_request_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends remind each other; the source says it again so often, and then each attempt is given up."""
    settle = FakeLink._settle

    def deaf(self: FakeLink, source: int, key: tuple[int, int], connection: object) -> None:
        deliver = self.deliver
        self.deliver = lambda machine, message: (
            None if isinstance(message, Signal) and message.request_id == 1 else deliver(machine, message)
        )
        settle(self, source, key, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeLink, "_settle", deaf)
    run = written(scenario_of(), REQUESTS)
    ends = [(end.request, end.reason) for end in run.of(RequestEnded)]
    assert ends == [(0, Reason.NONE), (2, Reason.NONE), (1, Reason.MAX_ATTEMPTS)]
    assert all(closed.free_blocks == closed.kv_blocks for closed in run.of(MachineClosed))


@pytest.mark.parametrize("kind", [Assign, Grant])
def test_a_message_that_is_always_lost_costs_its_request_and_nothing_else(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody renews the lease on blocks that nobody knows of; each attempt expires, and all blocks are back."""
    send = WirePort.send

    def lossy(self: WirePort, machine: int, message: Message) -> None:
        named = message.request.request_id if isinstance(message, Assign) else getattr(message, "request_id", -1)
        if not (isinstance(message, kind) and named == 1):
            send(self, machine, message)

    monkeypatch.setattr(WirePort, "send", lossy)
    run = written(scenario_of(), REQUESTS)
    ends = {end.request: (end.status, end.reason) for end in run.of(RequestEnded)}
    assert ends == {
        0: (Status.COMPLETED, Reason.NONE),
        1: (Status.FAILED, Reason.MAX_ATTEMPTS),
        2: (Status.COMPLETED, Reason.NONE),
    }
    assert [lost.reason for lost in run.of(AttemptLost)] == [Reason.LEASE_EXPIRED] * 4
    assert all(closed.free_blocks == closed.kv_blocks for closed in run.of(MachineClosed))


def test_two_caches_that_wait_for_each_others_blocks_do_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = load(Path(__file__).parents[2] / "scenarios" / "regressions" / "standoff.toml")
    trial = Trials().run(scenario)
    given_up = [entry for entry in trial.entries if isinstance(entry, AttemptLost)]
    assert [entry.reason for entry in given_up] == [Reason.GAVE_WAY], "one is enough"
    assert trial.clean
    monkeypatch.setattr(Standoff, "must_give_way", lambda *_: False)
    assert {"no-circular-wait", "all-finish", "machines-empty"} <= set(Trials().run(scenario).broken)


def test_blocks_granted_to_who_waits_behind_one_that_gave_way_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = load(Path(__file__).parents[2] / "scenarios" / "regressions" / "grants_before_gave_way.toml")
    trial = Trials().run(scenario)
    given_up = [entry for entry in trial.entries if isinstance(entry, AttemptLost)]
    assert [entry.reason for entry in given_up] == [Reason.GAVE_WAY], "one is enough"
    assert trial.clean
    monkeypatch.setattr(Standoff, "must_give_way", lambda *_: False)
    assert {"liveness", "all-finish", "machines-empty"} <= set(Trials().run(scenario).broken)
