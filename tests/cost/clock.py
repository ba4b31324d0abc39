"""A clock for tests."""


class Clock:
    """Nanoseconds that what is timed pushes forward."""

    def __init__(self):
        self.now = 1_000

    def __call__(self):
        return self.now
