"""What is kept of a list: as few bytes as its check needs."""

import hashlib
from dataclasses import dataclass
from typing import Any

from livetower.chaos.accepted import timeless_bytes


@dataclass(frozen=True, slots=True)
class SeenList:
    """What a list says of itself."""

    rec_id: str
    user_id: str
    user_seq: int
    kafka_ms: int
    """Kafka's time of the event that it answers."""
    digest: bytes
    """Of all in it that does not depend on when it was made."""


def digest_of(record: dict[str, Any]) -> bytes:
    """16 bytes for the recommendation without its times."""
    return hashlib.blake2b(timeless_bytes(record), digest_size=16).digest()
