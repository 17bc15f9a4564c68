"""Planted bugs of recovery: machines that die, attempts that are given up, messages that are lost. Nothing is run here.

None of them shows without a fault.
"""

from bench.planted.planting import Planted

RECOVERY, ORDERS = "emu.control.recovery:Recovery", "emu.control.orders:Orders"
RETRIES = "emu.control.retries:Retries"
RECEIVER, NODE = "emu.control.transfer.receiver:Receiver", "emu.node.machine_node:MachineNode"

RECOVERING = (
    Planted(
        "retry-keeps-its-number",
        f"{RETRIES}.due",
        "self.place(entry.submit, self._next(entry), now)",
        "self.place(entry.submit, max(entry.attempt, 0), now)",
        "a retry goes under the number of the attempt that was given up",
        window=True,
    ),
    Planted(
        "same-epoch",
        f"{RECOVERY}._dead",
        "load.next_epoch, load.epoch = load.epoch + 1, GONE",
        "load.next_epoch, load.epoch = load.epoch, GONE",
        "a machine that was declared dead is admitted under the epoch that it had",
        window=True,
    ),
    Planted(
        "orphans-forgotten",
        f"{RECOVERY}._dead",
        "elif entry.prefill == machine:",
        "elif entry.prefill == machine and self.gone > 1:",
        "decode machines are not told that the source of a cache is gone",
        window=True,
    ),
    Planted(
        "cancels-half",
        f"{RECOVERY}._cancel",
        "for machine in {entry.prefill: None, entry.decode: None}:",
        "for machine in (entry.decode,):",
        "an attempt that is given up is not cancelled on its prefill machine",
        window=True,
    ),
    Planted(
        "no-quarantine",
        f"{RECEIVER}._fence",
        "self.fenced.until(key, self._over_ps(incoming))",
        "self.fenced.until(key, 0)",
        "fenced blocks are free at the next sweep, while they may still be written",
        window=True,
    ),
    Planted(
        "never-unstranded",
        f"{RETRIES}.look_again",
        "for request_id in self._stranded:",
        "for request_id in tuple(self._stranded)[:0]:",
        "requests that wait for a machine are not looked at when one comes back",
        window=True,
        wastes=True,
    ),
    Planted(
        "renews-nothing",
        f"{RECEIVER}.heard",
        "self.leases.renew(message.transfers, now)",
        "self.leases.renew(message.transfers[1:], now)",
        "the first transfer that a heartbeat names is not renewed at the destination",
        window=True,
    ),
    Planted(
        "counts-back",
        f"{ORDERS}.count",
        "self._passed_over.discard(number)",
        "self.counted = number",
        "a late message takes the count back to its own number",
        window=True,
    ),
    Planted(
        "old-epochs-admitted",
        f"{ORDERS}.are_new",
        "epoch == self.epoch",
        "epoch <= self.epoch",
        "what was sent to a machine before it was declared dead is still taken",
        window=True,
    ),
    Planted(
        "cut-unsaid",
        f"{NODE}.halt",
        "if not steps.running or steps.run is None:",
        "if not steps.running or steps.run is None or not steps.run.steps:",
        "a crash in the first steps of a batch is not written down",
        window=True,
    ),
    Planted(
        "acknowledged-once",
        f"{RECEIVER}.heard",
        "elif key in self.committed:",
        "elif key in self.committed and key in self.leases:",
        "an acknowledgement that was lost is not said again",
        window=True,
    ),
    Planted(
        "one-try-more",
        f"{RETRIES}.after",
        ">= self.rules.max_attempts",
        "> self.rules.max_attempts",
        "a request is tried once more than the limit allows",
        window=True,
        wastes=True,
    ),
)
