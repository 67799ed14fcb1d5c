"""The one wall clock of the operators: it dates records and publications, and tells the tower that it is behind."""

import time


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
