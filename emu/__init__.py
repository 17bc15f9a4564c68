"""emu: a flight simulator for the control plane of disaggregated LLM serving."""
