"""How lists and rejected records reach Kafka: what the sinks are told, and what is refused before a job starts."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from flink_jobs import delivery
from flink_jobs.settings import InvalidSettings, JobSettings, load_settings
from flink_jobs.tables import all_tables

ROOT = "job.snapshot_root=/snapshots"
EXACTLY_ONCE = "kafka.delivery=exactly-once"


def sinks(*overrides: str) -> dict[str, str]:
    """Table → its CREATE TABLE statement, of the tables that are written to."""
    statements = all_tables(load_settings(None, [ROOT, *overrides]))
    return {s.split("`")[1]: s for s in statements if "'sink.delivery-guarantee'" in s}


def test_lists_and_rejected_records_are_written_in_transactions_with_ids_of_their_own():
    written = sinks(EXACTLY_ONCE, "job.group_id=shop", "topics.recommendations=lists", "kafka.transaction_timeout_s=90")
    assert sorted(written) == ["item-snapshots", "recommendations", "rejected"]
    for table, prefix in (("recommendations", "shop-lists"), ("rejected", "shop-rejected")):
        assert "'sink.delivery-guarantee' = 'exactly-once'" in written[table]
        assert f"'sink.transactional-id-prefix' = '{prefix}'" in written[table]
        assert "'properties.transaction.timeout.ms' = '90000'" in written[table]


def test_announcements_never_wait_for_a_checkpoint():
    assert "'sink.delivery-guarantee' = 'at-least-once'" in sinks(EXACTLY_ONCE)["item-snapshots"]
    assert "transaction" not in sinks(EXACTLY_ONCE)["item-snapshots"]


def test_by_default_nothing_is_written_in_a_transaction():
    for statement in sinks().values():
        assert "'sink.delivery-guarantee' = 'at-least-once'" in statement
        assert "transaction" not in statement


def test_a_transaction_must_outlive_a_checkpoints_interval_and_a_restart():
    timeout = "kafka.transaction_timeout_s=89"
    load_settings(None, [ROOT, timeout, "job.checkpoint_interval_s=30"])
    load_settings(None, [ROOT, EXACTLY_ONCE, timeout, "job.checkpoint_interval_s=29"])
    with pytest.raises(
        InvalidSettings, match=r"transaction_timeout_s: needed 90 or more \(job\.checkpoint_interval_s and .*got 89"
    ):
        load_settings(None, [ROOT, EXACTLY_ONCE, timeout, "job.checkpoint_interval_s=30"])


class Broker:
    """Allows transactions of a quarter of an hour, and answers who may ask."""

    error: KafkaError | None = None

    def __init__(self, client: dict[str, Any]) -> None:
        assert client == {"ssl.ca.location": "/ca.pem", "bootstrap.servers": "kafka-1:9092"}

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(brokers={7: None})

    def describe_configs(self, resources: list[Any]) -> dict[Any, Any]:
        (broker,) = resources
        assert broker.name == "7"
        return {broker: self}

    def result(self, _timeout: float) -> dict[str, Any]:
        if self.error is not None:
            raise KafkaException(self.error)
        return {"transaction.max.timeout.ms": SimpleNamespace(value="900000")}


def asking_for(timeout_s: float, *overrides: str) -> JobSettings:
    broker = ["kafka.bootstrap_servers=kafka-1:9092", "kafka.admin_properties.ssl.ca.location=/ca.pem"]
    return load_settings(None, [ROOT, *broker, f"kafka.transaction_timeout_s={timeout_s}", *overrides])


def test_a_timeout_that_the_brokers_do_not_allow_is_refused_with_the_cure(monkeypatch):
    monkeypatch.setattr(delivery, "AdminClient", Broker)
    delivery.require_transactions(asking_for(900, EXACTLY_ONCE))
    with pytest.raises(
        InvalidSettings,
        match=r"needed at most 900, the brokers' most; got 901\. Lower it .* transaction\.max\.timeout\.ms",
    ):
        delivery.require_transactions(asking_for(901, EXACTLY_ONCE))


def test_a_job_without_transactions_asks_no_broker(monkeypatch):
    monkeypatch.setattr(delivery, "AdminClient", None)
    delivery.require_transactions(asking_for(901))


def test_who_may_not_ask_for_the_brokers_limit_is_not_refused(monkeypatch):
    monkeypatch.setattr(delivery, "AdminClient", Broker)
    monkeypatch.setattr(Broker, "error", KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED))
    delivery.require_transactions(asking_for(901, EXACTLY_ONCE))


def test_a_broker_that_fails_is_not_passed_over(monkeypatch):
    monkeypatch.setattr(delivery, "AdminClient", Broker)
    monkeypatch.setattr(Broker, "error", KafkaError(KafkaError.BROKER_NOT_AVAILABLE))
    with pytest.raises(KafkaException):
        delivery.require_transactions(asking_for(901, EXACTLY_ONCE))
