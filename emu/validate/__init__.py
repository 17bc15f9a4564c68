"""What emu's numbers are worth: docs/validation.md, made from runs by `python -m emu.validate`."""
