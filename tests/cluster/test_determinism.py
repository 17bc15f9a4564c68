"""Same scenario and seed, same record, byte for byte: wherever and beside whatever it runs."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import trio
from attrs import evolve
from hypothesis import given, settings
from small_clusters import Row, rows, scenario_of, scenarios, written

from emu.scenario.schema import Scenario

BUSY: list[Row] = [(at, prompt, output) for at in (0, 0, 20, 20, 40) for prompt in (300, 900) for output in (1, 5, 40)]

TWICE = """
import sys
sys.path.insert(0, {folder!r})
from small_clusters import scenario_of, written
print(written(scenario_of(2, 2, 1), {rows!r}).digest)
"""


def test_in_two_processes_with_different_hash_seeds() -> None:
    program = TWICE.format(folder=str(Path(__file__).parent), rows=BUSY)
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert digests == {written(scenario_of(2, 2, 1), BUSY).digest}


@settings(max_examples=30, deadline=None)
@given(scenarios(), rows)
def test_inside_a_hypothesis_test(scenario: Scenario, requests: list[Row]) -> None:
    assert written(scenario, requests).digest == written(scenario, requests).digest


def test_inside_and_outside_a_hypothesis_test() -> None:
    outside = written(scenario_of(2, 2, 1), BUSY).digest
    inside: set[str] = set()

    @settings(max_examples=3, deadline=None, database=None)
    @given(rows)
    def run(_: list[Row]) -> None:
        inside.add(written(scenario_of(2, 2, 1), BUSY).digest)

    run()
    assert inside == {outside}


def test_with_a_thread_that_pokes_the_loop() -> None:
    quiet = written(scenario_of(2, 2, 1), BUSY)
    stop = threading.Event()
    tokens: list[trio.lowlevel.TrioToken] = []
    pokes = 0

    def poke() -> None:
        nonlocal pokes
        while not stop.wait(0.0002):
            for token in tokens:
                try:
                    token.run_sync_soon(lambda: None)
                    pokes += 1
                except trio.RunFinishedError:
                    return

    class Introduce(trio.abc.Instrument):
        def before_run(self) -> None:
            tokens.append(trio.lowlevel.current_trio_token())

    poker = threading.Thread(target=poke)
    poker.start()
    original = trio.run
    try:
        # the run is made by production code; the instrument only tells the thread which loop to poke
        trio.run = lambda *args, **keys: original(*args, **keys, instruments=[Introduce()])
        poked = written(scenario_of(2, 2, 1), BUSY * 8)
    finally:
        trio.run = original
        stop.set()
        poker.join()
    assert pokes > 0
    assert poked.digest == written(scenario_of(2, 2, 1), BUSY * 8).digest
    assert poked.digest != quiet.digest


def test_in_two_threads_at_once() -> None:
    alone = written(scenario_of(2, 2, 1), BUSY * 4).digest
    digests: list[str] = []
    threads = [
        threading.Thread(target=lambda: digests.append(written(scenario_of(2, 2, 1), BUSY * 4).digest))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [alone, alone]


def test_another_interleaving_is_another_order_of_the_same_work() -> None:
    orders = {seed: written(evolve(scenario_of(2, 2, 1), interleaving=seed), BUSY) for seed in range(6)}
    assert len({order.digest for order in orders.values()}) > 1
    assert len({order.run.open_requests for order in orders.values()}) == 1
