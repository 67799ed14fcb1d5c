"""The one error of the demo: a sentence for the person who ran it."""


class DemoError(Exception):
    """The demo cannot go on. The message is one line: who, what was needed, what came."""
