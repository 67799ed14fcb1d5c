"""What a replay asks of Kafka: whether the topic is there, its id, and a producer that keeps each user's order."""

from collections.abc import Mapping

from confluent_kafka import KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient

from flink_jobs.topics import BATCH_BYTES
from livetower.demo.replay import ORDERED, QUIET
from livetower.replay.errors import ReplayError

ANSWER_S = 10.0
TIMEOUT_MS = 30_000


def topic_id(brokers: str, topic: str, properties: Mapping[str, str]) -> str:
    """Kafka's own id of a topic, another one for each that is made. Raises ReplayError if there is no such topic, or if
    no broker answers.
    """
    try:
        admin = AdminClient({**QUIET, **properties, "bootstrap.servers": brokers})
        known = admin.list_topics(timeout=ANSWER_S).topics
        if topic not in known:
            raise ReplayError(
                f"topic {topic!r} is not at {brokers}: start the job, which makes it (`livetower submit`), or name the "
                f"job's topic with --topic; there are {', '.join(sorted(known)) or 'none'}"
            )
        asked = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_S)[topic]
        described = asked.result(2 * ANSWER_S)
    except (KafkaException, TimeoutError) as error:
        came = error.args[0].str() if isinstance(error, KafkaException) else "none"
        raise ReplayError(
            f"Kafka at {brokers}: an answer within {ANSWER_S:g} s was needed; got {came}: start it (`livetower up`), "
            "or name its address with --bootstrap-servers and TLS or SASL with --kafka-property"
        ) from error
    return str(described.topic_id)


def open_producer(brokers: str, properties: Mapping[str, str]) -> Producer:
    """A producer that gives up on a record after TIMEOUT_MS. Raises ReplayError for a property that is none."""
    ours = {**ORDERED, "linger.ms": 5, "message.timeout.ms": TIMEOUT_MS, "message.max.bytes": BATCH_BYTES}
    try:
        return Producer({**ours, **properties, "bootstrap.servers": brokers})
    except KafkaException as error:
        raise ReplayError(f"--kafka-property: {error.args[0].str()}") from error
