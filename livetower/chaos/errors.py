"""The one error of chaos: the run cannot be judged. A broken guarantee is no error but a number in the table."""


class ChaosError(Exception):
    """One line: what was needed, what came, and what to look at."""
