"""All planted bugs, in one list."""

from bench.planted.planted_memory import MEMORY
from bench.planted.planted_recovery import RECOVERING
from bench.planted.planted_routing import ROUTING
from bench.planted.planted_scheduling import SCHEDULING
from bench.planted.planted_transfers import TRANSFERS

BUGS = (*MEMORY, *TRANSFERS, *SCHEDULING, *ROUTING, *RECOVERING)
