"""How lists and rejected records reach Kafka: at once and at least once, or in transactions and exactly once.

idempotent      A record is written when it is made. After a restore some come again, with the same rec_id: a consumer
                that keeps the newest of each user sees no difference.
exactly-once    Records are written in a transaction that is committed with the checkpoint. A reader of committed
                records (isolation.level read_committed) sees each once, and none before its checkpoint is complete.

Announcements of item snapshots are at least once in both: they may repeat with equal content, and item tables must not
wait for a checkpoint.

A transaction lives from one checkpoint until the next is committed, and a job that was down in between commits it when
it is restored. If that takes longer than the transaction's timeout, the broker has aborted it, and its records are
lost. So the timeout must be longer than a checkpoint's interval and a restart, and the broker must allow it.
"""

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from flink_jobs.settings import EXACTLY_ONCE, RESTART_S, InvalidSettings, JobSettings

WAIT_S = 30.0
MAX_TIMEOUT = "transaction.max.timeout.ms"


def delivery_options(settings: JobSettings, topic: str) -> dict[str, str]:
    """What the table of a topic of lists or of rejected records says about delivery, over the options of every sink."""
    if settings.kafka.delivery != EXACTLY_ONCE:
        return {}
    return {
        "sink.delivery-guarantee": EXACTLY_ONCE,
        "sink.transactional-id-prefix": transactional_id_prefix(settings, topic),
        "properties.transaction.timeout.ms": str(timeout_ms(settings)),
    }


def transactional_id_prefix(settings: JobSettings, topic: str) -> str:
    """What the ids of a sink's transactions begin with: no other sink, of this job or another, may use it."""
    return f"{settings.job.group_id}-{topic}"


def timeout_ms(settings: JobSettings) -> int:
    """After so long the broker aborts a transaction that nobody has committed."""
    return round(1_000 * settings.kafka.transaction_timeout_s)


def timeout_trouble(settings: JobSettings, most_ms: int | None) -> str | None:
    """Why the brokers, which allow `most_ms` (None: not known), would refuse the job's transactions; None if not."""
    if settings.kafka.delivery != EXACTLY_ONCE or most_ms is None or timeout_ms(settings) <= most_ms:
        return None
    return (
        f"setting kafka.transaction_timeout_s: needed at most {most_ms / 1_000:g}, the brokers' most; "
        f"got {settings.kafka.transaction_timeout_s:g}"
    )


def require_transactions(settings: JobSettings) -> None:
    """Refuse a timeout that the brokers would: each writer would fail with it after every restart."""
    if settings.kafka.delivery != EXACTLY_ONCE:
        return
    admin = AdminClient({**settings.kafka.admin_properties, "bootstrap.servers": settings.kafka.bootstrap_servers})
    trouble = timeout_trouble(settings, transaction_max_ms(admin))
    if trouble is not None:
        raise InvalidSettings(
            f"{trouble}. Lower it (it must stay longer than job.checkpoint_interval_s and {RESTART_S:g} s), or raise "
            f"{MAX_TIMEOUT} of the brokers."
        )


def transaction_max_ms(admin: AdminClient) -> int | None:
    """The longest transaction that the brokers allow; None without the right to ask (DescribeConfigs)."""
    try:
        broker = next(iter(admin.list_topics(timeout=WAIT_S).brokers))
        (future,) = admin.describe_configs([ConfigResource(ResourceType.BROKER, str(broker))]).values()
        return int(future.result(WAIT_S)[MAX_TIMEOUT].value)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            return None
        raise
