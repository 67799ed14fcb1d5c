"""The one error of a soak that its user can cure."""


class SoakError(Exception):
    """Says what was needed, what came, and what to do about it."""
