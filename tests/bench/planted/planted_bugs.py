"""All planted bugs, in one list."""

from planted_memory import MEMORY
from planted_recovery import RECOVERING
from planted_routing import ROUTING
from planted_scheduling import SCHEDULING
from planted_transfers import TRANSFERS

BUGS = (*MEMORY, *TRANSFERS, *SCHEDULING, *ROUTING, *RECOVERING)
