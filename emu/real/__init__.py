"""The real world behind the ports: a decoder on GPUs, copies between them, and wall time.

It stands beside `emu.fake` and knows nothing of it. PyTorch comes with the extra `emu[torch]`; only the modules that
compute import it, and only `emu.real_run` imports those.
"""
