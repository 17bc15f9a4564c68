"""What was expected before figures were looked into, and what was found: the sentences below the tables."""

from __future__ import annotations

STARTUP = (
    "What was expected of a run of a dozen requests, when it took 1,694 M instructions, 3.3 times trio and attrs alone "
    "(22 November 2026): that most of it is importing what it does not use, rich first. What was found, by counting "
    "instructions around every import and every class: rich 170 M, for a page that is a few aligned columns; cattrs "
    "120 M, mostly for the functions that it writes for each class; equality and representation, which attrs writes "
    "and compiles for each class, 160 M where nobody asks for them (without them a class still takes 1.3 M to 2 M); "
    "modules of faults, traces and policies that such a run does not use about 90 M; quantiles as TOML, where JSON is "
    "read thirty times as fast, 22 M; the search for cycles among what was imported, twice more when the process ends, "
    "90 M. What is left beside trio and attrs: about 220 M for 112 classes of attrs, 75 M for NamedTuples, 75 M for "
    "click, 25 M for profiles in TOML, 50 M for the run itself."
)

FLOOR = (
    "What was looked for below that (23 November 2026), on the run of 25 + 15 machines: one thing to take away. "
    "What was found: 1,830 calls a request, 1,010 of them of Python functions, 2.65 M instructions in all, at 0.9 a"
    " cycle: a thousand different functions come by for each request, so the interpreter waits for its caches about"
    " as long as it works. The collector of cycles costs nothing (off: the same instructions). Debian's Python "
    "3.11.2, which is built with profiles and link-time optimization, needs 11 % fewer instructions and 12 % fewer "
    "seconds than the 3.11.7 built here; 3.12.1 and 3.13.0, built here too, 14 % and 8 % more instructions. "
    "Compiled by Cython, all of the hot path gained nothing; compiled by mypyc, all of emu/control took 7 % from "
    "the whole run. Neither is worth a compiler on every machine."
)

SMALL = (
    "What was expected: that what each run does once (resolving, building, laws, starting trio, the digest) is half of "
    "it. What was found, by counting instructions (23 November 2026): of 60 M without a fault 82 % are the run itself, "
    "109 wakeups and 325 entries, laws included; 7 % the lines and the digest of those entries; 4 % building; 2 % the "
    "summary; 2 % trio's own start and end; 2 % workload, profiles and laws together. So a small run costs what its "
    "requests do, as a long one. With a crash it is 102 M: the router has things to look for every second, 86 wakeups "
    "and 200 messages more. It was 140 M until checksums were taken by runs of blocks."
)

CONDITIONS = (
    "The figures of 23 November 2026 were taken beside a dozen busy processes on the two cores, with precedence over "
    "them; they share caches all the same, which costs CPU seconds but no instructions."
)

PACED = (
    "On the same machine without that precedence (23 November 2026, load 8) x 1.00 was missed by 2.8 %, and a pace of "
    "two thirds by 5.4 %, since the run waited up to 3 s for the processor: what is more than a second late is not "
    "caught up, and the clock that is shown says so."
)

LONGEST = (
    "The run of a million was made with half a core, beside a dozen busy processes and without precedence. Its memory "
    "is a third of the 1 GiB that was our limit."
)
