"""Uncertainty, tests and ranks of per-query scores: functions on arrays."""
