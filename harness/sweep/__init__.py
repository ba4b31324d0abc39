"""A sweep: its jobs, what each of them tells, and the overview of them all."""

from harness.sweep.job import is_searched, keep, offer, tell

__all__ = ["is_searched", "keep", "offer", "tell"]
