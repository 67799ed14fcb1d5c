"""The one error of evaluation: a sentence for the person who ran it."""


class EvaluationError(Exception):
    """The stream or the request cannot be used. The message says who, what was needed, what came."""
