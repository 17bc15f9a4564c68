"""Work for workers that are to die: light to import, since every worker does."""

import os
import signal
from typing import Any

from emu.sweep.jobs import Job
from emu.workload.table import Workload


def deadly(job: Job, trace: Workload | None) -> dict[str, Any]:
    assert trace is None
    if job.key == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.key == "wrong":
        raise ValueError("as planned\nwith more to say")
    return {"pid": os.getpid()}
