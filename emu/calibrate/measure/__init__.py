"""Timing a model's steps on a real device, with PyTorch (the extra `emu[torch]`). Nothing else of emu needs PyTorch."""
