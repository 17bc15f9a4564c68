"""Reliability: what faults cost, measured: every kind against every phase of a request, and thousands of drawn plans.

Runs scenarios and reads their records; it holds no law and makes no fault of its own.
"""
