"""Every test run is the same run: Hypothesis draws from the test's own name, and a failure prints how to repeat it."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")
