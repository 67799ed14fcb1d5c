"""The difference between what must be and what is: lost, doubled, wrong. Pure: records in, violations out.

    lost       an accepted event that has no list, an unreadable record that was not rejected, a record never read
    doubled    a rec_id with two user_seq (an event learned twice); where lists are delivered exactly once, a rec_id
               that comes twice; an example that the tower accepted twice
    wrong      a user whose state at the end, or one of whose lists, is not that of an undisturbed run
    example    an example that the tower never accepted

docs/guarantees.md promises that there are none.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from livetower.chaos.accepted import ExampleId, ExpectedList, apart_from_the_table
from livetower.chaos.seen_list import SeenList, digest_of
from livetower.chaos.stream import FIRST_USER
from models.user_state import UserState


class Broken(StrEnum):
    """Which guarantee."""

    LOST = "lost"
    DOUBLED = "doubled"
    WRONG = "wrong"
    EXAMPLE = "example"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken guarantee."""

    broken: Broken
    what: str
    """For people: the rec_id or user, what was needed and what came."""
    kafka_ms: int | None = None
    """Kafka's time of the event, by which the fault is found; None for what is seen at the end only."""


def in_lists(
    expected: Mapping[str, ExpectedList], seen: Iterable[SeenList], *, once: bool, pinned: bool
) -> Iterator[Violation]:
    """What is wrong with the lists, each rec_id once.

    `once` says that none may come twice; `pinned` that each must be the expected one, bit for bit. A list that comes
    before there is an item table is promised to nobody: FIRST_USER may miss some.
    """
    by_rec_id: dict[str, list[SeenList]] = {}
    for each in seen:
        by_rec_id.setdefault(each.rec_id, []).append(each)
    for rec_id, needed in expected.items():
        if rec_id not in by_rec_id and needed.user_id != FIRST_USER:
            yield Violation(Broken.LOST, f"{rec_id}: a list was needed; none came", needed.kafka_ms)
    for rec_id, lists in by_rec_id.items():
        at, seqs = lists[0].kafka_ms, sorted({each.user_seq for each in lists})
        wanted = expected.get(rec_id)
        if wanted is None:
            yield Violation(Broken.WRONG, f"{rec_id}: no list was needed; one came", at)
        elif len(seqs) > 1:
            yield Violation(Broken.DOUBLED, f"{rec_id}: one user_seq was needed; got {seqs}", at)
        elif once and len(lists) > 1:
            yield Violation(Broken.DOUBLED, f"{rec_id}: one committed list was needed; got {len(lists)}", at)
        elif seqs != [wanted.user_seq]:
            yield Violation(Broken.WRONG, f"{rec_id}: user_seq {wanted.user_seq} was needed; got {seqs[0]}", at)
        elif pinned and wanted.user_id != FIRST_USER:
            if wanted.record is None:
                raise ValueError(f"{rec_id}: a pinned run needs the expected lists in whole")
            if {each.digest for each in lists} != {digest_of(wanted.record)}:
                yield Violation(Broken.WRONG, f"{rec_id}: its list is not that of an undisturbed run, bit for bit", at)


def in_states(
    expected: Mapping[str, UserState], states: Mapping[str, UserState], *, pinned: bool
) -> Iterator[Violation]:
    """Users whose state is not the expected one: bit for bit, or apart from what depends on the item table."""
    for user in sorted(expected.keys() | states.keys()):
        needed, came = expected.get(user), states.get(user)
        if needed is None or came is None:
            yield Violation(Broken.WRONG, f"{user}: {'a' if came is None else 'no'} state was needed")
        elif (needed != came) if pinned else (apart_from_the_table(needed) != apart_from_the_table(came)):
            yield Violation(Broken.WRONG, f"{user}: user_seq {needed.user_seq} was needed; got {came.user_seq}")


def in_examples(expected: Counter[ExampleId], accepted: Counter[ExampleId]) -> Iterator[Violation]:
    """Examples that the tower never accepted, and those that it accepted too often."""
    for example, count in (expected - accepted).items():
        yield Violation(Broken.EXAMPLE, f"example {example}: {count} more needed", example[2])
    for example, count in (accepted - expected).items():
        yield Violation(Broken.DOUBLED, f"example {example}: {count} too many", example[2])


def in_offsets(ends: Mapping[tuple[str, int], int], read: Mapping[tuple[str, int], int]) -> Iterator[Violation]:
    """Partitions that the job says it has not read to their end, or beyond it."""
    for (topic, partition), end in ends.items():
        next_read = read.get((topic, partition), 0)
        if next_read != end:
            yield Violation(Broken.LOST, f"{topic}/{partition}: offset {end} was needed next; got {next_read}")


def in_rejected(
    expected: Collection[tuple[int, int]], found: Iterable[tuple[int, int]], *, once: bool
) -> Iterator[Violation]:
    """Unreadable records, by partition and offset, that were not rejected, and others that were."""
    counts = Counter(found)
    for place in sorted(set(expected) | counts.keys()):
        if place not in counts:
            yield Violation(Broken.LOST, f"record {place}: it had to be rejected, and was not")
        elif place not in expected:
            yield Violation(Broken.WRONG, f"record {place}: it can be read, and was rejected")
        elif once and counts[place] > 1:
            yield Violation(Broken.DOUBLED, f"record {place}: rejected {counts[place]} times")
