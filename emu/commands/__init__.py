"""The commands beside `emu run`, a module each; `emu.cli` gathers them. Only they and it print."""
