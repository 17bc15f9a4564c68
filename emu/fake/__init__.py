"""The emulated world behind the ports: clock, workers, links, wires, clients.

Never sees the router, the schedulers or the transfer cores.
"""
