"""What the hunts came to, as docs/bug_finding.md: python -m bench.planted.tell_planted. It hunts nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from statistics import median

import click

from bench.planted.find_planted import NAMES, Result, read
from bench.planted.misses import SORTED, WHY

HERE = Path(__file__).parent
SMALLEST = "smallest: requests, machines, faults, late messages"
SIZES = {
    "small_requests": "requests",
    "small_machines": "machines",
    "small_faults": "faults",
    "small_delays": "late messages",
}
DOC = HERE.parents[2] / "docs" / "bug_finding.md"


def interval(found: int, tries: int) -> tuple[float, float]:
    """Wilson's interval of a share, at 95 %."""
    z = 1.96
    share, spread = found / tries, z * z / tries
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / tries + spread / (4 * tries)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def genuine(result: Result) -> bool:
    """Found, in a case that clean code passes: the hunt goes on past all others."""
    return bool(result["found"])


def row(name: str, results: Sequence[Result]) -> str:
    """One line of the table."""
    bug, hits = NAMES[name], [result for result in results if genuine(result)]
    low, high = interval(len(hits), len(results))
    kind = " ".join(word for word, is_so in (("window", bug.window), ("wastes", bug.wastes)) if is_so) or "-"
    share = f"{len(hits)}/{len(results)} ({low:.0%} to {high:.0%})"
    if not hits:
        cpu_s = sum(result["cpu_s"] for result in results) / len(results)
        return f"| `{name}` | {kind} | {share} | - | {cpu_s:.1f} | - | {bug.what} |"
    after, cpu_s = median(hit["after"] for hit in hits), median(hit["cpu_s"] for hit in hits)
    shrunk = [hit for hit in hits if "small_requests" in hit]
    size = " ".join(f"{median(hit[key] for hit in shrunk):g}" for key in SIZES) if shrunk else "-"
    laws = ", ".join(sorted({hit["law"] for hit in hits}))
    return f"| `{name}` | {kind} | {share} | {after:g} | {cpu_s:.1f} | {size} | {bug.what}: {laws} |"


def page(results: Sequence[Result]) -> Iterator[str]:
    """The whole page."""
    planted = [result for result in results if result["bug"] in NAMES]
    clean = [result for result in results if result["bug"] is None]
    by_bug = {name: [result for result in planted if result["bug"] == name] for name in NAMES}
    by_bug = {name: found for name, found in by_bug.items() if found}
    found = [name for name, hunts in by_bug.items() if any(map(genuine, hunts))]
    hits = [result for result in planted if genuine(result)]
    shrunk = [hit for hit in hits if "small_requests" in hit]
    yield from (HERE / "bug_finding_head.md").read_text().splitlines()
    seeds = sorted({len(hunts) for hunts in by_bug.values()})
    limits = sorted({result["limit"] for result in planted})
    most, cpu_s = " or ".join(map(str, limits)), sum(result["cpu_s"] for result in planted)
    yield (
        f"Run: {len(planted)} hunts of {len(by_bug)} planted bugs, {' or '.join(map(str, seeds))} seeds each, at most "
        f"{most} examples a hunt, {cpu_s:.0f} CPU seconds, all on one state of the code ({planted[-1]['code']})."
    )
    yield ""
    equal = [name for name in by_bug if name not in found and WHY.get(name, "").startswith("changes nothing")]
    yield (
        f"**Found by at least one seed: {len(found)} of {len(by_bug)}"
        f" ({len(found) / (len(by_bug) - len(equal)):.0%} of the {len(by_bug) - len(equal)} that change anything).** "
        f"Of all hunts {sum(map(genuine, planted)) / len(planted):.0%} found theirs. Median smallest case of the "
        f"{len(shrunk)} findings that were shrunk: "
        + ", ".join(f"{median(hit[key] for hit in shrunk):g} {word}" for key, word in SIZES.items())
        + "."
    )
    yield ""
    heads = ("bug", "kind", "seeds that find it (95 %)", "examples", "CPU s", SMALLEST, "what, and by which law")
    yield f"| {' | '.join(heads)} |"
    yield "|---|---|---|---|---|---|---|"
    for name, hunts in by_bug.items():
        yield row(name, hunts)
    yield ""
    yield "## The misses"
    yield ""
    for name in by_bug:
        if name not in found:
            yield f"- `{name}`: {NAMES[name].what}. {WHY.get(name, 'Not understood yet.')}"
    yield ""
    unhunted = [name for name in NAMES if name not in by_bug]
    if unhunted:
        yield f"Not hunted in this run: {', '.join(f'`{name}`' for name in unhunted)}."
        yield ""
    yield "## Clean code"
    yield ""
    if clean:
        alarms = sum(result["alarmed"] for result in clean)
        examples, cpu_s = (sum(result[key] for result in clean) for key in ("examples", "cpu_s"))
        requests, pairs = sum(result["requests"] for result in clean), max(result["pairs"] for result in clean)
        struck = sum(result["struck"] for result in clean)
        yield (
            f"{examples} examples in {len(clean)} hunts on one state of the code ({clean[-1]['code']}; {requests} "
            f"checked requests, {struck} faults that struck): "
            f"{alarms} findings. {requests / cpu_s:.0f} checked requests and {struck / cpu_s:.1f} faults that struck a "
            f"CPU second; {pairs} state-event pairs in the hunt that reached most, "
            f"{pairs / max(each['cpu_s'] for each in clean):.2f} a CPU second."
        )
        for result in clean:
            for alarm in result["alarms"]:
                yield f"- {alarm['law']}: {alarm['what']}"


def seen_by_examples(looked: Sequence[Result]) -> Iterator[str]:
    """Which planted bugs the example-based tests see, so that nobody needs a fuzzer for them."""
    seen = [f"`{each['bug']}`" for each in looked if not each["passes"]]
    yield ""
    yield "## Beside the example-based tests"
    yield ""
    yield (
        f"`python -m bench.planted.pass_examples` plants each bug and runs those tests of the control plane that draw "
        f"nothing. Of {len(looked)} bugs looked at so far they let {len(looked) - len(seen)} through. They see, and "
        f"the list should not have: {', '.join(seen) or 'none'}."
    )


def mutation(mutants: Sequence[Result]) -> Iterator[str]:
    """What mutants came to."""
    killed = [mutant for mutant in mutants if mutant["killed"]]
    low, high = interval(len(killed), len(mutants))
    yield ""
    yield "## Mutants"
    yield ""
    examples, faults = mutants[0]["examples"], mutants[0]["faults"]
    struck = f"up to {faults} faults in every second one" if faults else "without faults"
    yield (
        f"{len(killed)} of {len(mutants)} first-order mutants of emu/control and emu/node were killed by {examples} "
        f"examples each, {struck} ({low:.0%} to {high:.0%} at 95 %), on an older state of the code; "
        "the target is 300 mutants. The survivors:"
    )
    yield ""
    for mutant in mutants:
        if not mutant["killed"]:
            verdict = SORTED.get(mutant["difference"], "not read yet")
            yield f"- `{mutant['module']}`: `{mutant['difference']}`: {verdict}"


@click.command()
@click.option("--kept", "files", multiple=True, type=click.Path(path_type=Path), default=(HERE / "results.jsonl",))
def main(files: tuple[Path, ...]) -> None:
    """Write docs/bug_finding.md from the results that were kept."""
    results = [result for file in files for result in read(file)]
    planted, clean = ([each for each in results if (each["bug"] is None) == is_clean] for is_clean in (False, True))
    lines = list(page([each for kind in (planted, clean) for each in kind if each["code"] == kind[-1]["code"]]))
    looked, mutants = read(HERE / "examples.jsonl"), read(HERE / "mutants.jsonl")
    lines += [*(seen_by_examples(looked) if looked else ()), *(mutation(mutants) if mutants else ())]
    DOC.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
