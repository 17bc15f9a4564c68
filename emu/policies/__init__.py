"""Policies of one's own: the small interfaces that a scenario's own router, scheduler or transfer policy keeps to.

What a policy sees and answers is in `interface`, how it is found by name in `find`, and what stands between it and the
control plane in `routing`, `scheduling` and `program`. What a policy ought to decide is nobody's business here.
"""

from emu.policies.interface import Ask, Choice, Offer, Prompt, RoutingPolicy, Running, SchedulerPolicy, TransferPolicy

__all__ = ["Ask", "Choice", "Offer", "Prompt", "RoutingPolicy", "Running", "SchedulerPolicy", "TransferPolicy"]
