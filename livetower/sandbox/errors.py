"""The one error that the sandbox raises for what its user can cure; the command line prints it without a traceback."""


class SandboxError(Exception):
    """Says what was needed, what came, and what to do about it."""
