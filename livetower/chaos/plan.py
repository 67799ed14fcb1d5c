"""Which faults hit the job, and in which order: all drawn from one seed, so that a run can be repeated.

A run is made of legs. A leg is one job with topics of its own, from its first event to a savepoint of its last; between
them it is hit by every kind of fault in an order of its own. Legs take turns: in a live one the ranking reads what the
tower publishes, and states must be equal apart from that; in a pinned one states and lists must be equal bit for bit.
It knows kinds by their names only.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

EVENTS_A_LEG: Final = 25_000
"""The tower's log holds 32,000 inputs, and a leg's log must reach back to its first."""


class Mode(StrEnum):
    """How lists are delivered: the setting kafka.delivery."""

    IDEMPOTENT = "idempotent"
    EXACTLY_ONCE = "exactly-once"


class Kind(StrEnum):
    """Kinds of fault, by the names that the table shows."""

    TASKMANAGER = "kill -9 of a TaskManager"
    JOBMANAGER = "kill -9 of the JobManager"
    BROKER = "kill -9 of the broker"
    SAVEPOINT = "stop with savepoint, restore"
    RESCALE = "rescale (1 to 2, or 2 to 1)"
    UPGRADE = "upgrade with an added output"
    CHECKPOINT = "newest checkpoint broken, everything killed"
    DISK = "snapshot root full"
    SNAPSHOT = "newest snapshot file deleted, then kill -9"
    SUSPENDED = "tower's training suspended"
    FROZEN = "tower frozen (SIGSTOP)"
    COMMIT = "kill -9 between pre-commit and commit"


ONLY_LIVE: Final = frozenset({Kind.DISK, Kind.SNAPSHOT, Kind.SUSPENDED})
"""Of no meaning to a ranking that reads no announced snapshot."""
NOT_EXACTLY_ONCE: Final = frozenset({Kind.CHECKPOINT})
"""Going back to an older checkpoint is going back before what consumers have read: its lists must come again."""
TWICE: Final = (Kind.RESCALE,)
"""There and back again."""


@dataclass(frozen=True, slots=True)
class LegPlan:
    """One job: at which level it is judged, what hits it, how many events it learns from."""

    number: int
    pinned: bool
    faults: tuple[Kind, ...]
    events: int

    @property
    def level(self) -> str:
        """What must be equal."""
        return "to the bit" if self.pinned else "live"


def deal_legs(seed: int, faults: int, events: int, mode: Mode) -> list[LegPlan]:
    """So many faults and events, dealt to as many legs as they need.

    >>> [(leg.level, len(leg.faults), leg.events) for leg in deal_legs(1, 20, 50_000, Mode.IDEMPOTENT)]
    [('live', 12, 25000), ('to the bit', 8, 25000)]
    """
    rng = np.random.default_rng(seed)
    hands: list[tuple[bool, tuple[Kind, ...]]] = []
    left = faults
    for pinned in itertools.cycle((False, True)):
        needed = -(-events // EVENTS_A_LEG)
        if left <= 0 and len(hands) >= needed:
            break
        hand = tuple(itertools.islice(shuffled(rng, kinds(pinned, mode)), max(left, 1)))
        hands.append((pinned, hand))
        left -= len(hand)
    shares = [events // len(hands) + (n < events % len(hands)) for n in range(len(hands))]
    return [LegPlan(n + 1, *hand, share) for n, (hand, share) in enumerate(zip(hands, shares, strict=True))]


def kinds(pinned: bool, mode: Mode) -> list[Kind]:
    """What a leg is hit by."""
    left_out = set(ONLY_LIVE if pinned else ())
    left_out |= NOT_EXACTLY_ONCE if mode is Mode.EXACTLY_ONCE else {Kind.COMMIT}
    return [kind for kind in (*Kind, *TWICE) if kind not in left_out]


def shuffled(rng: np.random.Generator, chosen: Sequence[Kind]) -> Iterator[Kind]:
    """These kinds in an order of the generator's."""
    return (chosen[int(n)] for n in rng.permutation(len(chosen)))
