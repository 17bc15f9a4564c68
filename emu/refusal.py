"""The one exception for a user's mistake.

Whatever reads input (a scenario, a trace, a profile, the command line) raises `Refusal` with one clear line; `emu.cli`
prints it and ends with status 2. Anything else that is raised is a bug and keeps its traceback. Nothing else belongs
here.
"""


class Refusal(Exception):
    """Input that cannot be used: `where` (file, file:line or file: key) and what was expected there, as one line."""

    def __init__(self, where: str, expected: str) -> None:
        super().__init__(f"{where}: {expected}")
        self.where = where
        self.expected = expected
