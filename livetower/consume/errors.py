"""The one error that readers of Livetower's topics raise for what their user can cure."""


class ConsumeError(Exception):
    """Says what was needed, what came, and what to do about it."""
