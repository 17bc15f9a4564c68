"""What docs/policies.md shows is what the examples are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_complete_example_is_the_file() -> None:
    _, _, code = (ROOT / "examples" / "policies" / "least_loaded.py").read_text().partition("\n\n")
    assert f"```python\n{code}```" in (ROOT / "docs" / "policies.md").read_text()
