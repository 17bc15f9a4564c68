"""What things cost: `make bench` measures, and writes docs/performance.md and docs/scaling.md.

Nothing here is a test: costs are measured on a quiet machine and read by people, never asserted. CPU seconds are those
of a whole process with its children, start-up included.
"""
