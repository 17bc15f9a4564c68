"""Production code that waits: trio shells that feed the cores and carry out their commands.

No decision is made here.
"""
