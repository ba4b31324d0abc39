"""A sweep: its jobs, what each of them tells, and the overview of them all."""

from harness.sweep.job import alone_if_first, is_searched, keep, offer, tell

__all__ = ["alone_if_first", "is_searched", "keep", "offer", "tell"]
