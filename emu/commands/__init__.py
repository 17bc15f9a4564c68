"""The commands that do more than one run, a module each; `emu.cli` gathers them. Only they and it print."""
