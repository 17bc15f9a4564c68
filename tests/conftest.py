"""How hard tests try: the profile that EMU_TESTS names. All but `nightly` make the same draws every time.

`dev` takes seconds, `ci` (the default) minutes; `nightly` draws anew each night, for as long as EMU_MINUTES says. A
failure prints what repeats it.
"""

import os

from hypothesis import settings

settings.register_profile("dev", derandomize=True, deadline=None, print_blob=True, max_examples=20)
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("nightly", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile(os.environ.get("EMU_TESTS", "ci"))
