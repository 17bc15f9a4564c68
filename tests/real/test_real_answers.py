"""Answers: the text of a request, and a digest that is the emulated world's while the cache is what it should be."""

from hypothesis import given
from hypothesis import strategies as st

from emu.fake.model import FakeModel
from emu.real.answers import Answers


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 3))
def test_pieces_of_an_answer_have_the_digest_of_the_emulated_world(pieces: list[int], request: int) -> None:
    answers, model = Answers([5] * 4, [99] * 4, 1000), FakeModel([5] * 4, [99] * 4)
    first = 1
    for piece in pieces:
        answers.say(request, answers.content(request), first, first + piece - 1)
        first += piece
    model.say(request, model.content(request), 1, first - 1)
    assert answers.output_digest(request) == model.output_digest(request)


def test_a_cache_that_was_not_the_requests_changes_its_digest() -> None:
    digests = set()
    for fingerprint in (0, 1):
        answers = Answers([5], [9], 1000)
        answers.say(0, answers.content(0), 1, 4)
        answers.say(0, answers.content(0) + fingerprint, 5, 9)
        digests.add(answers.output_digest(0))
    assert len(digests) == 2


def test_text_is_the_prompt_and_then_what_was_computed() -> None:
    answers = Answers([5, 5], [9, 9], 1000)
    for token in (7, 8, 9):
        answers.computed(1, token)
    assert answers.text(1, 8) == [*answers.text(1, 5), 7, 8, 9]
    assert answers.text(1, 3) == answers.text(1, 5)[:3]
    assert answers.text(0, 5) != answers.text(1, 5)
    assert answers.last(1) == 9
    assert all(0 <= token < 1000 for token in answers.text(0, 5))
