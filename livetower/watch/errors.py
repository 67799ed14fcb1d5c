"""The one error of the live view: a sentence for the person who asked for it."""


class WatchError(Exception):
    """There is nothing to watch. The message says what was needed, what came and what to do."""
