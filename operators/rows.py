"""The rows that cross between the JVM and the two Python operators: their types, and one constructor per emission kind.

A row has few columns, because every one is converted once in each direction for every event. Payloads are BYTES from
topic to topic, so bytes that are not UTF-8 survive. Both operators emit the one row type EMISSION, tagged with a kind;
SQL routes it (flink_jobs/topology.py, tables.py). This file knows neither what the payloads mean
(models/records.py) nor which topic a kind goes to (flink_jobs/recommend_job.py).
"""

from pyflink.common import Row, Types

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())

# LearnAndRecommend, keyed by user_key: the base64 of the user id's bytes ('' when the record names no user;
# flink_jobs/tables.py says why base64).
INTERACTION = Types.ROW_NAMED(
    ["user_key", "key", "value", "topic", "partition", "offset", "kafka_ms"],
    [Types.STRING(), BYTES, BYTES, Types.STRING(), Types.INT(), Types.LONG(), Types.LONG()],
)

# LearnAndRecommend, broadcast: an announcement of an item snapshot.
SNAPSHOT = Types.ROW_NAMED(["key", "value"], [BYTES, BYTES])

# TrainItemTower, keyed by the constant TOWER_KEY. An 'example' has a value only: nothing of Kafka's goes with it.
TOWER_INPUT = Types.ROW_NAMED(
    ["kind", "key", "value", "topic", "partition", "offset"],
    [Types.STRING(), BYTES, BYTES, Types.STRING(), Types.INT(), Types.LONG()],
)
TOWER_KEY = "tower"

# Both operators' output: key and value of a record, the headers of a rejected one, those of a recommendation, and
# beside a recommendation (or alone, when no list is sent) the example, or erasure, for the item tower. A map is dear to
# carry across, so a recommendation's headers, which come with every event, are columns and become a map in SQL.
RECOMMENDATION_HEADERS = ("snapshot", "emitted_ms")
EMISSION = Types.ROW_NAMED(
    ["kind", "key", "value", "headers", *RECOMMENDATION_HEADERS, "example"],
    [Types.STRING(), BYTES, BYTES, Types.MAP(Types.STRING(), BYTES), BYTES, BYTES, BYTES],
)

# Kinds of emissions.
RECOMMENDATION = "recommendation"
EXAMPLE = "example"
ANNOUNCEMENT = "announcement"
REJECTED = "rejected"

# Kinds of tower inputs: the EXAMPLE of an emission, or a record of the topics items and commands.
ITEM = "item"
COMMAND = "command"

DETAIL_BYTES = 8 * 1024


def recommendation(key: bytes, value: bytes, headers: dict[str, bytes], example: bytes | None) -> Row:
    """A fresh list of one user, for the topic of recommendations, and what the item tower learns from the event."""
    return Row(RECOMMENDATION, key, value, None, *map(headers.__getitem__, RECOMMENDATION_HEADERS), example)


def tombstone(key: bytes, emitted_ms: int, erasure: bytes) -> Row:
    """The end of a user's lists, for the topic of recommendations, and what tells the item tower to let go of them."""
    return Row(RECOMMENDATION, key, None, None, None, b"%d" % emitted_ms, erasure)


WAKE = b""
"""In place of an example: nothing to learn, but somebody waits for the first item table."""


def example(value: bytes) -> Row:
    """What the item tower learns from an event that had no list."""
    return Row(EXAMPLE, None, None, None, None, None, value)


def announcement(key: bytes, value: bytes) -> Row:
    """An item snapshot that readers may load from now on."""
    return Row(ANNOUNCEMENT, key, value, None, None, None, None)


def rejected(
    key: bytes | None, value: bytes | None, reason: str, detail: str, topic: str, partition: int, offset: int
) -> Row:
    """A record that was not accepted: its original key and value, why (in DETAIL_BYTES at most), and where it stood."""
    # Outside data may hold lone surrogates, which cannot leave Python as they are.
    shown = detail.encode("utf-8", "backslashreplace")[:DETAIL_BYTES].decode("utf-8", "ignore")
    headers = {"reason": reason, "detail": shown, "topic": topic, "partition": partition, "offset": offset}
    return Row(REJECTED, key, value, {name: str(header).encode() for name, header in headers.items()}, None, None, None)
