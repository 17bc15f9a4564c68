"""Bugs planted in production code, and how well the fuzzer finds them. See docs/bug_finding.md."""
