"""Broken laws on stderr: each with what it says, its first violations and how many more there are."""

from emu.laws.verdicts import Law
from emu.screen.broken import broken_laws


def test_the_first_violations_of_each_law_are_shown() -> None:
    kept, once = Law("grant-kept", "A granted reservation is kept."), Law("tokens-once", "Token k is delivered once.")
    kept.broken(1_500_000_000_000, "decode-3 took back 4 blocks")
    for number in range(1_007):
        once.broken(number * 10**12, f"request {number} had token 1 twice")
    assert list(broken_laws([kept, once])) == [
        "emu: 2 laws were broken",
        "  grant-kept, once: A granted reservation is kept.",
        "    at 1.500000 s: decode-3 took back 4 blocks",
        "  tokens-once, 1,007 times: Token k is delivered once.",
        *(f"    at {number}.000000 s: request {number} had token 1 twice" for number in range(5)),
        "    and 1,002 more",
    ]
    assert next(iter(broken_laws([once]))) == "emu: 1 law was broken"
