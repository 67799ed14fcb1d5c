"""Every parser of outside bytes, and what each may do with them: give a value, or refuse in its own words."""

import random
from collections.abc import Callable
from contextlib import suppress

from made_up import NOW_MS

from fuzz import corpus
from fuzz.mutations import mutated
from models.commands import parse_command
from models.examples import InvalidExample, decode_example, kafka_ms_of_example
from models.records import InvalidRecord, Reason, check_key, parse_interaction, parse_item
from models.snapshots import InvalidSnapshot, decode_announcement, decode_snapshot
from models.tower_stream import InvalidInput, decode_input
from models.user_state import InvalidState, checked_blob, decode_user_state

MAX_BYTES = 65_536
MAX_DETAIL = 8 * 1024

Parser = Callable[[random.Random], str]


def interactions(rng: random.Random) -> str:
    value = mutated(rng, corpus.INTERACTIONS)
    kafka_ms = rng.choice((NOW_MS, NOW_MS, NOW_MS, 0, -1, 2**48))
    try:
        event = parse_interaction(value, kafka_ms, max_bytes=MAX_BYTES, future_tolerance_ms=300_000)
        check_key(rng.choice(("", "dTE=", "//8=")), rng.choice((None, b"", b"\xff", b"u1")), event.user_id)
    except InvalidRecord as error:
        return refused(error)
    return "parsed"


def items(rng: random.Random) -> str:
    key = rng.choice((None, None, b"i1", b"", b"\xff", b"x" * 10_000))
    try:
        parse_item(key, mutated(rng, corpus.CATALOGUE), max_bytes=MAX_BYTES)
    except InvalidRecord as error:
        return refused(error)
    return "parsed"


def commands(rng: random.Random) -> str:
    try:
        parse_command(mutated(rng, corpus.COMMANDS), max_bytes=MAX_BYTES)
    except InvalidRecord as error:
        return refused(error)
    return "parsed"


def announcements(rng: random.Random) -> str:
    try:
        decode_announcement(mutated(rng, corpus.ANNOUNCEMENTS))
    except InvalidSnapshot:
        return "refused"
    return "parsed"


def snapshot_files(rng: random.Random) -> str:
    blob = corpus.hostile_snapshot(rng) if rng.random() < 0.7 else mutated(rng, corpus.SNAPSHOTS)
    try:
        decode_snapshot(blob or b"")
    except InvalidSnapshot:
        return "refused"
    return "parsed"


def own_bytes(rng: random.Random) -> str:
    """What state holds is ours; broken, it must still say so in words that stop the job, and never be read wrongly."""
    state = mutated(rng, corpus.STATES) or b""
    blob = mutated(rng, corpus.EXAMPLES) or b""
    entry = mutated(rng, corpus.INPUTS) or b""
    with suppress(InvalidState):
        checked_blob(state)
    with suppress(InvalidState):
        decode_user_state(state)
    with suppress(InvalidExample):
        kafka_ms_of_example(blob)
    with suppress(InvalidExample):
        decode_example(blob)
    with suppress(InvalidInput):
        decode_input(entry)
    return "read or refused"


def refused(error: InvalidRecord) -> str:
    """The outcome; the reason is one that outside data can have, and the words fit into a header."""
    assert error.reason is not Reason.INTERNAL_ERROR
    assert 0 < len(str(error).encode("utf-8", "backslashreplace")) <= MAX_DETAIL
    return str(error.reason)


PARSERS: dict[str, Parser] = {
    parser.__name__: parser for parser in (interactions, items, commands, announcements, snapshot_files, own_bytes)
}
