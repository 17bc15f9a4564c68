"""What stands in KV blocks when a cache comes in parts, and what checksums tell of it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.fake.model import KvMemory

LAYERS = 12
BLOCKS = (5, 2, 9)
HERE = (1, 0, 7)
CONTENT = 3 << 32

ranges = st.lists(
    st.tuples(st.integers(0, LAYERS - 1), st.integers(0, LAYERS - 1)).map(lambda ends: (min(ends), max(ends))),
    min_size=1,
    max_size=6,
)


def source() -> KvMemory:
    memory = KvMemory()
    memory.write(BLOCKS, CONTENT)
    return memory


def sum_of(memory: KvMemory, blocks: tuple[int, ...], layer: int) -> int:
    [checksum] = memory.checksums(blocks, ((layer, layer),))
    return checksum


@given(ranges)
@settings(deadline=None)
def test_a_cache_is_whole_when_all_of_its_layers_have_come_and_not_before(parts: list[tuple[int, int]]) -> None:
    sender, memory, come = source(), KvMemory(), set[int]()
    memory.write(HERE, 8 << 32)  # what somebody else had there
    for first, last in parts:
        memory.copy_from(sender, BLOCKS, HERE, (first, last), LAYERS)
        come |= set(range(first, last + 1))
        assert (memory.read(HERE, CONTENT) == CONTENT) is (len(come) == LAYERS)
        for layer in range(LAYERS):
            same = sum_of(memory, HERE, layer) == sum_of(sender, BLOCKS, layer)
            assert same is (layer in come)


@given(ranges, ranges)
@settings(deadline=None)
def test_what_is_garbled_shows_for_those_layers_until_they_are_written_again(
    spoilt: list[tuple[int, int]], again: list[tuple[int, int]]
) -> None:
    sender, memory = source(), KvMemory()
    memory.copy_from(sender, BLOCKS, HERE, (0, LAYERS - 1), LAYERS)
    wrong = set[int]()
    for first, last in spoilt:
        memory.garble(HERE, (first, last))
        wrong |= set(range(first, last + 1))
    for first, last in again:
        memory.copy_from(sender, BLOCKS, HERE, (first, last), LAYERS)
        wrong -= set(range(first, last + 1))
    assert (memory.read(HERE, CONTENT) == CONTENT) is (not wrong)
    for layer in range(LAYERS):
        same = sum_of(memory, HERE, layer) == sum_of(sender, BLOCKS, layer)
        assert same is (layer not in wrong)


def test_parts_of_a_cache_that_is_wrong_at_its_source_are_wrong_here_too() -> None:
    sender, memory = source(), KvMemory()
    memory.copy_from(sender, BLOCKS, HERE, (0, LAYERS - 1), LAYERS)
    sender.write((2,), 9 << 32)  # somebody else has a block of it by now
    memory.copy_from(sender, BLOCKS, HERE, (3, 4), LAYERS)
    assert memory.read(HERE, CONTENT) != CONTENT
    assert sum_of(memory, HERE, 3) != sum_of(source(), BLOCKS, 3)
    assert sum_of(memory, HERE, 5) == sum_of(source(), BLOCKS, 5)
