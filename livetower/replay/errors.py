"""The one error of a replay: a sentence for the person who ran it."""


class ReplayError(Exception):
    """The replay cannot go on. The message says who, what was needed, what came and what to do."""
