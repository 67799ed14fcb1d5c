import base64
import uuid

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from local_flink import local_tables

from flink_jobs import tables as sql
from flink_jobs.settings import load_settings
from models.records import user_key_of

ROOT = "job.snapshot_root=/snapshots"


def literal(data: bytes | None) -> str:
    return "CAST(NULL AS BYTES)" if data is None else f"CAST(x'{data.hex()}' AS BYTES)"


def computed(expression: str, column: str, literals: list[str]) -> list:
    """What Flink makes of the expression for each literal in turn."""
    _, tables = local_tables(parallelism__default="1")
    rows = ", ".join(f"({i}, {value})" for i, value in enumerate(literals))
    with tables.execute_sql(
        f"SELECT i, {expression} FROM (VALUES {rows}) AS given (i, `{column}`)"
    ).collect() as results:
        return [value for _, value in sorted(tuple(row) for row in results)]


def test_the_user_key_of_a_kafka_key_is_injective_and_empty_without_a_key():
    keys = [b"u1", "ü☃😀".encode(), b"\xff\x00{", b"\xfe\x00{", b"\x00", b"x" * 1000, b"", None]
    got = computed(sql.user_key_expression("kafka-key"), "key", [literal(key) for key in keys])
    assert got == [base64.b64encode(key or b"").decode() for key in keys]
    assert got[:2] == [user_key_of("u1"), user_key_of("ü☃😀")]


def test_the_user_key_of_a_payload_is_its_user_id_and_empty_when_it_cannot_be_read():
    readable = {
        b'{"user_id": "u1", "x": 1}': "u1",
        '{"user_id": "ü☃😀"}'.encode(): "ü☃😀",
        b'{"user_id": "\\u0000a"}': "\0a",
    }
    unreadable = [
        None,
        b"",
        b"{",
        b"null",
        b"[1]",
        b"\xff\x00{",
        b'{"item_id": "i1"}',
        b'{"user_id": null}',
        b'{"user_id": {"a": 1}}',
        b'{"user_id": ["u1"]}',
        b"[" * 30_000,
        b'{"user_id":' * 5_000,
    ]
    got = computed(
        sql.user_key_expression("payload"), "value", [literal(payload) for payload in [*readable, *unreadable]]
    )
    assert got == [user_key_of(user_id) for user_id in readable.values()] + [""] * len(unreadable)


def test_kafka_ms_is_the_timestamp_to_the_millisecond_in_every_season():
    times_ms = [0, 1, 999, 1_234_567_890_123, 1_730_611_800_999, 1_730_615_400_001, 253_402_300_799_999, -1]
    got = computed(sql.KAFKA_MS, "timestamp", [f"TO_TIMESTAMP_LTZ({ms}, 3)" for ms in times_ms])
    assert got == times_ms


def test_client_properties_reach_every_table_and_quotes_are_kept():
    settings = load_settings(None, [ROOT, "kafka.properties.sasl.jaas.config=Login required password='a''b';"])
    statements = sql.all_tables(settings)
    assert len(statements) == 7
    assert all("'properties.sasl.jaas.config' = 'Login required password=''a''''b'';'" in s for s in statements)


def test_the_sink_of_rejected_records_takes_what_the_sources_take_and_more():
    (rejected,) = (
        s for s in sql.all_tables(load_settings(None, [ROOT, "model.max_record_bytes=2000000"])) if "`rejected`" in s
    )
    assert f"'properties.max.request.size' = '{2_000_000 + 128 * 1024}'" in rejected


def test_flink_accepts_every_table():
    _, tables = local_tables()
    for statement in sql.all_tables(load_settings(None, [ROOT])):
        tables.execute_sql(statement)
    for query in (
        sql.interactions_query("kafka-key"),
        sql.interactions_query("payload"),
        sql.items_query(),
        sql.commands_query(),
        sql.snapshots_query(),
    ):
        tables.sql_query(query)
    assert sorted(tables.list_temporary_tables()) == [
        "commands",
        "interactions",
        "interactions-priority",
        "item-snapshots",
        "items",
        "recommendations",
        "rejected",
    ]


@pytest.mark.flink
def test_what_a_producer_wrote_reaches_rejected_unchanged(sandbox):
    prefix = uuid.uuid4().hex[:8]
    topics = {
        name: f"{prefix}-{name}"
        for name in ("interactions", "items", "item_snapshots", "commands", "recommendations", "rejected")
    }
    names = [word for name, topic in topics.items() for word in ("--set", f"topics.{name}={topic}")]
    job = sandbox.submit(*names, "--set", f"job.group_id={prefix}")
    too_long = b"[" * 1_200_000  # gzip makes it small enough for the topic
    records = {
        b"k1": b"\xff\x00{",
        b"\xff\xfe\x00": b"{",
        b"k2": None,
        b"k3": b"",
        b"": b"\x00",
        None: b"no key",
        b"long": too_long,
    }
    try:
        long_records = {"compression.type": "gzip", "message.max.bytes": 2_000_000}
        producer = Producer({"bootstrap.servers": sandbox.bootstrap_servers} | long_records)
        for key, value in records.items():
            producer.produce(topics["interactions"], key=key, value=value, partition=2)
        producer.produce(topics["items"], key=b"i", value=b"\xff", partition=0)
        producer.flush(10)
        rejected = read_all(sandbox.bootstrap_servers, topics["rejected"], count=len(records) + 1)
    finally:
        sandbox.cancel(job)

    kept = {(key, value[: 1024 * 1024 + 64 * 1024] if value else value) for key, value in records.items()}
    assert {(m.key(), m.value()) for m in rejected} == kept | {(b"i", b"\xff")}
    headers = [dict(m.headers()) for m in rejected]
    places = {(h["topic"].decode(), h["partition"].decode(), h["offset"].decode()) for h in headers}
    expected = {(topics["interactions"], "2", str(offset)) for offset in range(len(records))}
    assert places == expected | {(topics["items"], "0", "0")}
    assert all(
        h.keys() == {"reason", "detail", "topic", "partition", "offset"} and h["reason"] and h["detail"]
        for h in headers
    )


def read_all(bootstrap_servers: str, topic: str, count: int, timeout_s: int = 60) -> list:
    """The topic's first `count` messages; fewer when the time is over."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "unused", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        messages: list = []
        for _ in range(2 * timeout_s):
            message = consumer.poll(0.5)
            if message is not None:  # a message without a value is falsy
                messages.append(message)
            if len(messages) == count:
                break
        return messages
    finally:
        consumer.close()
