"""Why something waits: the chain in words, to its root, and circles called by their name."""

from emu.record import entries as e
from emu.record.start import MachineFacts, RunStarted
from emu.view.cluster import ClusterView
from emu.view.freeze import freeze
from emu.view.incident import findings
from emu.view.state import ClusterState
from emu.view.survey import Limits, Survey
from emu.view.why import why_machine, why_request

S = 10**12


def cluster(entries: list[e.Entry], at_s: float, blocks: int = 20) -> ClusterView:
    facts = tuple(
        MachineFacts(name, "dgx-h100", pool, 8, blocks, 1.0, 1.0)
        for name, pool in (("prefill-0", "prefill"), ("decode-0", "decode"))
    )
    state = ClusterState(RunStarted("made up", "model", 16, facts, 9, True))
    for entry in entries:
        state.take(entry)
    return freeze(state, round(at_s * S))


def prefilled(request: int, blocks: int, loan: int, free: int) -> list[e.Entry]:
    """A request that was computed on prefill-0 in its first second and is to decode on decode-0."""
    piece = e.PrefillSlice(request, 0, 0, blocks * 16, 0, loan, blocks)
    return [
        e.Arrived(0, request, blocks * 16, 64),
        e.Assigned(0, request, 0, 0, 1, 1, 0, 20),
        e.Queued(0, 0, request, 0, 0),
        e.StepStarted(0, 0, (piece,), (), (), 0, 0, 0, 0, free),
        e.StepFinished(S, 0, 0, 1, 0, blocks * 16, S, 0, 0, 0, 0),
    ]


def test_a_reservation_waits_for_whoever_holds_the_blocks() -> None:
    entries = [
        *prefilled(1, 6, 1, 14),
        e.Reserved(S, 1, 1, 0, 1, 18, 0),
        e.Granted(S, 0, 1, 0, S),
        e.TransferStarted(S, 0, 1, 1, 0, 0, 79, 8_000_000, 0),
        *prefilled(2, 6, 2, 8),
        e.ReserveQueued(2 * S, 1, 2, 0, 7, S),
    ]
    chain = why_request(cluster(entries, 5.0), 2)
    assert not chain.deadlock
    assert [link.words for link in chain.links] == [
        "r2 waits for 7 blocks on decode-0 for 3.000 s, reservation 1 of 1",
        "decode-0 has 2 of 20 blocks free; 0 run, 18 are reserved, 0 held, 0 orphaned",
        "18 of them are reserved for r1 for 4.000 s",
        "r1's put from prefill-0 to decode-0 is posted for 4.000 s: 0 MB of 8 MB landed",
    ]
    assert chain.text().splitlines()[1].startswith("  \u2514 decode-0 has 2")


def test_a_circle_is_a_deadlock() -> None:
    """Two machines that swap roles, each full of caches that want to go to the other."""
    entries: list[e.Entry] = []
    for request, source, target in ((1, 0, 1), (2, 1, 0)):
        piece = e.PrefillSlice(request, 0, 0, 320, 0, 1, 20)
        entries += [
            e.Arrived(0, request, 320, 64),
            e.Assigned(0, request, 0, source, target, 1, 0, 20),
            e.Queued(0, source, request, 0, 0),
            e.StepStarted(0, source, (piece,), (), (), 0, 0, 0, 0, 0),
            e.StepFinished(S, source, 0, 1, 0, 320, S, 0, 0, 0, 0),
            e.ReserveQueued(S, target, request, 0, 21, 0),
        ]
    chain = why_request(cluster(entries, 9.0), 1)
    assert chain.deadlock
    assert "held for r2" in chain.text()
    assert chain.text().endswith("DEADLOCK: the chain leads back to itself, and nothing in it can move")


def test_a_circle_is_found_where_another_holds_blocks_for_longer() -> None:
    """r5 has waited for its put the longest and is in no circle; that of r1 and r2 is told, and found by itself."""
    entries: list[e.Entry] = [
        *prefilled(5, 4, 1, 96),
        e.Reserved(S, 1, 5, 0, 1, 4, 0),
        e.Granted(S, 0, 5, 0, S),
        e.TransferStarted(S, 0, 1, 5, 0, 0, 79, 8_000_000, 0),
    ]
    for request, source, target in ((1, 0, 1), (2, 1, 0)):
        piece = e.PrefillSlice(request, 0, 0, 256, 0, 2, 16)
        entries += [
            e.Arrived(S, request, 256, 64),
            e.Assigned(S, request, 0, source, target, 1, 0, 20),
            e.Queued(S, source, request, 0, 0),
            e.StepStarted(S, source, (piece,), (), (), 0, 0, 0, 0, 0),
            e.StepFinished(2 * S, source, S, 1, 0, 256, S, 0, 0, 0, 0),
            e.ReserveQueued(2 * S, target, request, 0, 17, 0),
        ]
    view = cluster(entries, 20.0)
    chain = why_request(view, 1)
    assert chain.deadlock
    assert "16 of them are held for r2" in chain.text()
    found = {finding.kind: finding.words for finding in findings(view, Survey(Limits()))}
    assert found["deadlock"] == "r1, r2 wait for each other's blocks: a deadlock"


def test_a_circle_that_a_batch_can_open_is_none() -> None:
    entries: list[e.Entry] = [
        *prefilled(1, 20, 1, 0),
        e.ReserveQueued(S, 1, 1, 0, 21, 0),
        e.Arrived(0, 3, 16, 64),
        e.Assigned(0, 3, 0, 1, 1, 1, 0, 20),
        e.StepStarted(0, 1, (), (3,), (), 1, 17, 0, 0, 2),
    ]
    chain = why_request(cluster(entries, 9.0), 1)
    assert not chain.deadlock
    assert chain.links[-1].words == "decode-0 decodes 1 sequence, a batch that runs for 9.000 s"


def test_what_computes_names_its_batch() -> None:
    piece = e.PrefillSlice(1, 0, 0, 96, 0, 1, 6)
    entries: list[e.Entry] = [
        e.Arrived(0, 1, 96, 64),
        e.Assigned(0, 1, 0, 0, 1, 1, 0, 20),
        e.Queued(0, 0, 1, 0, 0),
        e.StepStarted(0, 0, (piece,), (), (), 0, 0, 0, 0, 14),
    ]
    view = cluster(entries, 0.25)
    assert why_request(view, 1).links[-1].words == "prefill-0 prefills r1 (96 tokens), a batch that runs for 0.250 s"
    assert why_machine(view, 1).text() == "decode-0 is idle for 0.250 s"


def test_a_prompt_behind_others_waits_for_the_batch_that_runs() -> None:
    piece = e.PrefillSlice(1, 0, 0, 96, 0, 1, 6)
    entries: list[e.Entry] = []
    for request in (1, 2, 3):
        entries += [
            e.Arrived(0, request, 96, 64),
            e.Assigned(0, request, 0, 0, 1, 1, 0, 20),
            e.Queued(0, 0, request, 0, 0),
        ]
    entries.append(e.StepStarted(0, 0, (piece,), (), (), 0, 0, 0, 0, 14))
    words = why_request(cluster(entries, 0.5), 3).text()
    assert words.startswith("r3 waits on prefill-0 for its prefill for 0.500 s, 2 of 2 in the queue")
    assert "prefill-0 prefills r1" in words


def test_a_cache_that_landed_waits_for_the_next_boundary() -> None:
    entries = [
        *prefilled(1, 6, 1, 14),
        e.Reserved(S, 1, 1, 0, 1, 7, 0),
        e.Granted(S, 0, 1, 0, S),
        e.TransferStarted(S, 0, 1, 1, 0, 0, 79, 8_000_000, 0),
        e.Landed(2 * S, 1, 1, 0, 1, 0, 79, 7, 8_000_000),
    ]
    assert "has not seen the signal" in why_request(cluster(entries, 2.5), 1).links[0].words


def test_a_lost_attempt_waits_for_the_router() -> None:
    entries = [*prefilled(1, 6, 1, 14), e.AttemptLost(2 * S, 1, 0, int(e.Reason.MACHINE_DEAD))]
    assert why_request(cluster(entries, 2.5), 1).text() == (
        "r1 lost attempt 0 0.500 s ago; the router has not given it another yet"
    )


def test_symptoms_are_found_without_being_told_of_a_fault() -> None:
    """A machine whose prefills are slow, one that takes no mail, and a pair that carries nothing."""
    facts = tuple(
        MachineFacts(f"{pool}-{n}", "dgx-h100", pool, 8, 99, 1.0, 1.0) for pool in ("prefill", "decode") for n in (0, 1)
    )
    state = ClusterState(RunStarted("made up", "model", 16, facts, 9, True))
    survey = Survey(Limits())
    for request, (machine, long) in enumerate(((0, 1), (1, 5))):
        piece = e.PrefillSlice(request, 0, 0, 96, 0, 1, 6)
        for entry in (
            e.Arrived(0, request, 96, 64),
            e.Assigned(0, request, 0, machine, 2, 1, 0, 99),
            e.Queued(0, machine, request, 0, 0),
            e.StepStarted(0, machine, (piece,), (), (), 0, 0, 0, 0, 93),
            e.Granted(0, machine, request, 0, 0),
            e.TransferStarted(0, machine, 2, request, 0, 0, 79, 8_000_000, 0),
            e.StepFinished(long * S, machine, 0, 1, 0, 96, long * S, 0, 0, 0, 0),
        ):
            state.take(entry)
    state.take(e.Landed(5 * S, 2, 0, 0, 1, 0, 79, 7, 8_000_000))
    state.take(e.Arrived(6 * S, 5, 96, 64))
    state.take(e.Assigned(6 * S, 5, 0, 3, 2, 1, 0, 99))
    found = [(finding.kind, finding.words) for finding in findings(freeze(state, 9 * S), survey)]
    assert found == [
        ("mute", "decode-0 takes nothing: r0 waits for it"),
        ("mute", "decode-1 takes nothing: r5 waits for it"),
        ("slow steps", "prefills on prefill-1 take 5.0 times as long as on others"),
        ("pair", "prefill-1 to decode-0 carries nothing of 1 put"),
    ]
