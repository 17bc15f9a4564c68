"""Policies for tests: good ones, and one for each way of breaking the contract."""

from collections.abc import Sequence

from emu.policies import Ask, Choice, Offer, Prompt, Running


class Spread:
    """In turn."""

    def __init__(self) -> None:
        self.turn = 0

    def place(self, ask: Ask, machines: Sequence[Offer]) -> Choice:
        self.turn += 1
        prefills = [m.machine for m in machines if m.pool != "decode"]
        decodes = [m.machine for m in machines if m.pool != "prefill"]
        return Choice(prefills[self.turn % len(prefills)], decodes[self.turn % len(decodes)])


class Backwards:
    """Every machine does the other kind's work."""

    def place(self, ask: Ask, machines: Sequence[Offer]) -> Choice:
        prefill = next(m.machine for m in machines if m.pool != "prefill")
        decode = next(m.machine for m in machines if m.pool != "decode")
        return Choice(prefill, decode)


class Raises:
    def place(self, ask: Ask, machines: Sequence[Offer]) -> Choice:
        raise LookupError("nobody is free")


class Invents:
    def place(self, ask: Ask, machines: Sequence[Offer]) -> Choice:
        return Choice(0, len(machines))


class Mumbles:
    def place(self, ask: Ask, machines: Sequence[Offer]) -> str:
        return "prefill-0"


class Declines:
    def place(self, ask: Ask, machines: Sequence[Offer]) -> None:
        return None


class Ordered:
    """First come, first served, and the latest arrival gives way: what production does by itself."""

    def next_prompt(self, waiting: Sequence[Prompt]) -> int:
        return 0

    def victim(self, running: Sequence[Running]) -> int:
        return len(running) - 1


class LastFirst:
    def next_prompt(self, waiting: Sequence[Prompt]) -> int:
        return len(waiting) - 1


class Beyond:
    def next_prompt(self, waiting: Sequence[Prompt]) -> int:
        return len(waiting)

    def victim(self, running: Sequence[Running]) -> int:
        return running.index("nobody")


class ByThreshold:
    """What production does by itself."""

    def by_layer(self, prompt_tokens: int, prompts: int) -> bool:
        return prompt_tokens >= 512


class Shrugs:
    def by_layer(self, prompt_tokens: int, prompts: int) -> None:
        return None
