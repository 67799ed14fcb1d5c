"""The one error of the bench: a sentence for the person who ran it."""


class BenchError(Exception):
    """The bench cannot go on. The message is one line: what was needed, what came, and what to do about it."""
