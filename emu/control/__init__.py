"""Production code that decides, without input or output: cores take events and give commands.

stdlib and attrs only: no clock, no await, no randomness, no logging.
"""
