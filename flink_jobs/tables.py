"""The job's topics as SQL tables: pure functions from settings to SQL text. They neither reach Kafka nor start Flink.

Keys and values are BYTES in raw format, so that whatever a producer wrote passes unchanged, null included. A column
is named as Kafka names it.

user_key is the base64 of the user id's bytes, '' when there are none. It must be injective, since it is the key of
the user's state, and Flink's SQL has no hex of bytes (HEX takes numbers and text) while DECODE(…, 'UTF-8') maps all
broken bytes to the same replacement character.

kafka_ms is the record's timestamp in epoch milliseconds. EXTRACT reads a TIMESTAMP_LTZ in the session's time zone, so
it is exact only where that zone is UTC: TIME_ZONE must be set on the table environment (recommend_job.py does).

Read next: topology.py, which connects the tables.
"""

from collections.abc import Iterable, Mapping

from flink_jobs.delivery import delivery_options
from flink_jobs.kafka_clients import java_properties
from flink_jobs.settings import JobSettings
from flink_jobs.topics import ROOM_BYTES, incoming_bytes, recommendations_bytes, rejected_bytes

TIME_ZONE = ("table.local-time-zone", "UTC")

# Table names. A source's or sink's uid is made of them (jvm.py): a rename loses its offsets.
INTERACTIONS, ITEMS, ITEM_SNAPSHOTS, COMMANDS = "interactions", "items", "item-snapshots", "commands"
INTERACTIONS_PRIORITY = "interactions-priority"
RECOMMENDATIONS, REJECTED = "recommendations", "rejected"

KEY_AND_VALUE = "`key` BYTES, `value` BYTES"
WITH_HEADERS = f"{KEY_AND_VALUE}, `headers` MAP<STRING, BYTES> METADATA"
RECORD = (
    f"{KEY_AND_VALUE}, `topic` STRING METADATA VIRTUAL, `partition` INT METADATA VIRTUAL, "
    "`offset` BIGINT METADATA VIRTUAL, `timestamp` TIMESTAMP_LTZ(3) METADATA VIRTUAL"
)
KAFKA_MS = "EXTRACT(EPOCH FROM `timestamp`) * 1000 + EXTRACT(MILLISECOND FROM `timestamp`)"
RECORD_COLUMNS = "`key`, `value`, `topic`, `partition`, `offset`"

# With operators.rows.DETAIL_BYTES and the other headers a key stays within the room of `rejected`.
KEY_BYTES = ROOM_BYTES // 2

# Where a start without state begins; one from a savepoint or checkpoint continues where that stood, whatever is here.
# Interactions: where the group stood, so that none is learned twice; everything when there was no such group.
FROM_GROUP = {"scan.startup.mode": "group-offsets", "properties.auto.offset.reset": "earliest"}
# Commands the same; a command from before the group's first start is not for this job.
FROM_GROUP_OR_NOW = {"scan.startup.mode": "group-offsets", "properties.auto.offset.reset": "latest"}
# Compacted topics: everything, since a job without state knows neither the catalogue nor an item table.
FROM_EARLIEST = {"scan.startup.mode": "earliest-offset"}

# A recommendation waits 2 ms at most for others to leave with; none is lost when a broker fails over. One request in
# flight and these 2 ms take a tenth of a core off broker and producer at full speed on two cores (linger.ms 0 made
# each list a request of its own).
PROMPT_SINK = {
    "sink.delivery-guarantee": "at-least-once",
    "properties.linger.ms": "2",
    "properties.acks": "all",
    "properties.max.in.flight.requests.per.connection": "1",
}


def all_tables(settings: JobSettings) -> list[str]:
    """The CREATE TABLE statements of every table of the job."""
    topics, group = settings.topics, {"properties.group.id": settings.job.group_id}
    rejected_size = {"properties.max.request.size": str(rejected_bytes(settings))}
    lists_size = {"properties.max.request.size": str(recommendations_bytes(settings))}
    lanes = {INTERACTIONS: topics.interactions, INTERACTIONS_PRIORITY: topics.interactions_priority}
    return [
        *(create_table(each, RECORD, settings, topic, FROM_GROUP | group) for each, topic in lanes.items() if topic),
        create_table(ITEMS, RECORD, settings, topics.items, {**FROM_EARLIEST, **group}),
        create_table(COMMANDS, RECORD, settings, topics.commands, {**FROM_GROUP_OR_NOW, **group}),
        create_table(
            ITEM_SNAPSHOTS, KEY_AND_VALUE, settings, topics.item_snapshots, {**FROM_EARLIEST, **group, **PROMPT_SINK}
        ),
        create_table(
            RECOMMENDATIONS,
            WITH_HEADERS,
            settings,
            topics.recommendations,
            {**PROMPT_SINK, **lists_size, **delivery_options(settings, topics.recommendations)},
        ),
        create_table(
            REJECTED,
            WITH_HEADERS,
            settings,
            topics.rejected,
            {**PROMPT_SINK, **rejected_size, **delivery_options(settings, topics.rejected)},
        ),
    ]


def create_table(table: str, columns: str, settings: JobSettings, topic: str, options: Mapping[str, str]) -> str:
    """The CREATE TABLE statement of one topic with raw bytes for key and value."""
    everything = {
        "connector": "kafka",
        "topic": topic,
        "properties.bootstrap.servers": settings.kafka.bootstrap_servers,
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        **{f"properties.{name}": value for name, value in java_properties(settings.kafka).items()},
        **options,
    }
    listed = ", ".join(f"{text_literal(name)} = {text_literal(value)}" for name, value in everything.items())
    return f"CREATE TEMPORARY TABLE `{table}` ({columns}) WITH ({listed})"


def text_literal(text: str) -> str:
    """The text as a SQL literal.

    >>> text_literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def user_key_expression(user_key: str) -> str:
    """user_key of an interaction: from the record's key, or from $.user_id of its payload.

    JSON_VALUE reads laxly: it takes the number 5 for '5', broken bytes for U+FFFD, the last of two members of the
    same name, and ignores what follows the object. So an operator must compare what its own parser reads with this
    key before it touches the state under it.
    """
    user = {
        "kafka-key": "`key`",
        "payload": "ENCODE(JSON_VALUE(DECODE(`value`, 'UTF-8'), '$.user_id' NULL ON EMPTY NULL ON ERROR), 'UTF-8')",
    }[user_key]
    return f"COALESCE(TO_BASE64({user}), '')"


def interactions_query(user_key: str, lane: str = INTERACTIONS) -> str:
    """Rows of operators.rows.INTERACTION, of one of the two lanes."""
    key = user_key_expression(user_key)
    return f"SELECT {key} AS user_key, {RECORD_COLUMNS}, {KAFKA_MS} AS kafka_ms FROM `{lane}`"


def items_query() -> str:
    """Rows of the items topic, with the columns of operators.rows.TOWER_INPUT but kind."""
    return f"SELECT {RECORD_COLUMNS} FROM `{ITEMS}`"


def commands_query() -> str:
    """Rows of the topic of commands, with the columns of operators.rows.TOWER_INPUT but kind."""
    return f"SELECT {RECORD_COLUMNS} FROM `{COMMANDS}`"


def snapshots_query() -> str:
    """Rows of operators.rows.SNAPSHOT."""
    return f"SELECT `key`, `value` FROM `{ITEM_SNAPSHOTS}`"


def insert_kind(table: str, view: str, kind: str) -> str:
    """Route the emissions of one kind, key and value, into a table."""
    return f"INSERT INTO `{table}` SELECT `key`, `value` FROM `{view}` WHERE kind = {text_literal(kind)}"


def insert_recommendations(view: str, kind: str, headers: Iterable[str]) -> str:
    """Route the lists into their table, each of `headers` from the column of its name."""
    pairs = ", ".join(f"CAST({text_literal(name)} AS STRING), `{name}`" for name in headers)
    lists = f"SELECT `key`, `value`, MAP[{pairs}] FROM `{view}` WHERE kind = {text_literal(kind)}"
    return f"INSERT INTO `{RECOMMENDATIONS}` {lists}"


def insert_rejected(views: list[str], kind: str, settings: JobSettings) -> str:
    """Route the rejected records of several views into one sink: original key and value, and the headers.

    Of a value or key longer than any topic of ours takes (compression lets one in) only the start is kept: a record
    that the sink could not write would stop the job again after every restart.
    """
    columns = "`key`, `value`, headers"
    rejected = " UNION ALL ".join(f"SELECT {columns} FROM `{view}` WHERE kind = {text_literal(kind)}" for view in views)
    key, value = f"CAST(`key` AS VARBINARY({KEY_BYTES}))", f"CAST(`value` AS VARBINARY({incoming_bytes(settings)}))"
    return f"INSERT INTO `{REJECTED}` SELECT {key}, {value}, headers FROM ({rejected})"
