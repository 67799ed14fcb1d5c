"""How a state that cannot be read is answered: one line with code, cause and cure, and exit code 2."""

from dataclasses import dataclass


@dataclass
class InspectError(Exception):
    """A checkpoint, snapshot or argument that cannot be used."""

    code: str
    """Stable, as docs/codes.md lists it: LT-INS-…"""
    cause: str
    """What was needed and what came, with the file's name."""
    cure: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"{self.code}: {self.cause}. {self.cure}"
