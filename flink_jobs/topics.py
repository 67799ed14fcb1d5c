"""Creates the topics that are missing, and refuses ones that could not work. Nothing else of Kafka's is touched.

Bounds: what is deleted goes after topics.retention_h, `rejected` also beyond topics.rejected_mib; what is compacted
comes down to a record for each key, but for the open file of topics.segment_mib. A topic that exists keeps its own.

Sizes: a topic's max.message.bytes bounds what a producer sends at once, a whole batch of records. So the topics that
the job reads allow BATCH_BYTES, the clients' default, and ROOM_BYTES more; how long one record may be is the job's own
check (model.max_record_bytes), which rejects a longer one with its bytes and a reason. `rejected` allows ROOM_BYTES
more again, for its headers. `recommendations` takes the longest list that model.top_k can make; a topic of it that
takes less is refused, since a list it refused would stop the job again after every restart. Read next: tables.py, where
the same topics become SQL tables.
"""

import time
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from flink_jobs.kafka_clients import librdkafka_properties
from flink_jobs.settings import InvalidSettings, JobSettings
from models.records import recommendation_bytes_max

BATCH_BYTES = 1024 * 1024
ROOM_BYTES = 64 * 1024
ANNOUNCEMENT_BYTES = 1024 * 1024  # an inline snapshot of 256 KiB is 342 KiB in base64
LIST_ROOM_BYTES = 8 * 1024
"""Of a list's record beside its value: a key of 512 bytes, two headers, the frames of record and batch."""
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Topic:
    """What one topic must be like."""

    name: str
    partitions: int
    cleanup_policy: str
    max_message_bytes: int
    bounds: Mapping[str, str]
    """What keeps it from growing without end, in Kafka's names."""

    @property
    def config(self) -> dict[str, str]:
        """Everything that Kafka is told of it."""
        told = {"cleanup.policy": self.cleanup_policy, "max.message.bytes": str(self.max_message_bytes)}
        return told | dict(self.bounds)


def incoming_bytes(settings: JobSettings) -> int:
    """Largest message, one batch or one record, of the topics that the job reads records from."""
    return max(BATCH_BYTES, settings.model.max_record_bytes) + ROOM_BYTES


def rejected_bytes(settings: JobSettings) -> int:
    """Largest message of the topic of rejected records, and largest request of its producer."""
    return incoming_bytes(settings) + ROOM_BYTES


def longest_list_bytes(settings: JobSettings) -> int:
    """Largest record that a list can be."""
    return recommendation_bytes_max(settings.model.top_k) + LIST_ROOM_BYTES


def recommendations_bytes(settings: JobSettings) -> int:
    """Largest message, one batch or one list, of the topic of recommendations, and largest request of its producer."""
    return max(BATCH_BYTES, longest_list_bytes(settings))


def topics_needed(settings: JobSettings) -> list[Topic]:
    """Every topic of the job as it is created when it is missing."""
    topics, partitions, incoming = settings.topics, settings.topics.partitions, incoming_bytes(settings)
    segment = {"segment.bytes": str(topics.segment_mib * 2**20)}
    old = {**segment, "retention.ms": str(round(3_600_000 * topics.retention_h))}
    large = {"retention.bytes": str(topics.rejected_mib * 2**20)}
    # Kafka compacts a partition once so much of it is superseded: a reader from the beginning, as the tower of a new
    # job is, meets at most so much of it in vain. Its default is half.
    often = {**segment, "min.cleanable.dirty.ratio": "0.3"}
    lanes = [name for name in (topics.interactions, topics.interactions_priority) if name]
    return [
        *(Topic(name, partitions, "delete", incoming, old) for name in lanes),
        Topic(topics.items, partitions, "compact", incoming, often),
        Topic(topics.item_snapshots, 1, "compact,delete", ANNOUNCEMENT_BYTES, {**often, **old}),
        Topic(topics.commands, 1, "delete", incoming, old),
        Topic(topics.recommendations, partitions, "compact", recommendations_bytes(settings), often),
        Topic(topics.rejected, partitions, "delete", rejected_bytes(settings), {**old, **large}),
    ]


def create_missing_topics(settings: JobSettings) -> list[str]:
    """Create the topics that are missing and return their names once the broker lists them.

    Raises InvalidSettings when no broker answers, when an existing topic has another number of partitions than the
    settings say, or when that of recommendations takes less than the longest list; KafkaException when the broker
    refuses to create one.
    """
    admin = AdminClient(
        {**librdkafka_properties(settings.kafka), "bootstrap.servers": settings.kafka.bootstrap_servers}
    )
    needed = {topic.name: topic for topic in topics_needed(settings)}
    missing = sorted(needed.keys() - partition_counts(admin).keys())
    if missing:
        create_topics(admin, [needed[name] for name in missing], settings.topics.replication_factor)
    check_partitions(needed.values(), counts_when_listed(admin, needed.keys()))
    if settings.topics.recommendations not in missing:
        check_list_size(settings, max_message_bytes(admin, settings.topics.recommendations))
    return missing


def create_topics(admin: AdminClient, topics: Iterable[Topic], replication_factor: int) -> None:
    """Create the topics; one that another submission has just made is left to the check of its partitions."""
    new = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replication_factor,
            config=topic.config,
        )
        for topic in topics
    ]
    for future in admin.create_topics(new).values():
        try:
            future.result(WAIT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def partition_counts(admin: AdminClient) -> dict[str, int]:
    """Topic name → number of partitions, of all topics the broker lists."""
    try:
        listed = admin.list_topics(timeout=WAIT_S).topics
    except KafkaException as error:
        raise InvalidSettings(
            f"setting kafka.bootstrap_servers: needed a broker that answers within {WAIT_S:g} s; got "
            f"{error.args[0].str()!r}. Start Kafka or name its address; TLS and SASL go into kafka.properties."
        ) from error
    return {name: len(topic.partitions) for name, topic in listed.items()}


def counts_when_listed(admin: AdminClient, names: Set[str]) -> dict[str, int]:
    """The partition counts once all these topics are listed; a source that starts earlier finds no topic and fails."""
    end = time.monotonic() + WAIT_S
    while not names <= (counts := partition_counts(admin)).keys():
        if time.monotonic() > end:
            raise TimeoutError(
                f"topics {sorted(names - counts.keys())}: created, but not listed by the broker after {WAIT_S:g} s"
            )
        time.sleep(0.05)
    return counts


def check_partitions(needed: Iterable[Topic], counts: Mapping[str, int]) -> None:
    """Refuse a topic whose number of partitions is not the one in the settings."""
    for topic in needed:
        if counts[topic.name] != topic.partitions:
            raise InvalidSettings(
                f"topic {topic.name!r}: needed {topic.partitions} partition(s); it has {counts[topic.name]}. Set "
                "topics.partitions to that, or name another topic (those of item snapshots and of commands must have "
                "one partition, since the order of their records matters)."
            )


def max_message_bytes(admin: AdminClient, topic: str) -> int | None:
    """How long a message of this topic may be; None without the right to ask (DescribeConfigs)."""
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    try:
        return int(future.result(WAIT_S)["max.message.bytes"].value)
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            return None
        raise


def check_list_size(settings: JobSettings, allowed: int | None) -> None:
    """Refuse a topic of recommendations whose messages may be shorter than the longest list."""
    topic, top_k, needed = settings.topics.recommendations, settings.model.top_k, longest_list_bytes(settings)
    if allowed is not None and allowed < needed:
        raise InvalidSettings(
            f"topic {topic!r}: needed max.message.bytes of {needed} or more, since a list of model.top_k = {top_k} may "
            f"be so long; it has {allowed}. Raise it (kafka-configs.sh --alter --topic {topic} --add-config "
            f"max.message.bytes={needed}), lower model.top_k, or name another topic."
        )
