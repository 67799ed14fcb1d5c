import pickle

import pytest

from flink_jobs.settings import InvalidSettings, load_settings, settings_json
from flink_jobs.tables import all_tables
from flink_jobs.topics import check_list_size, topics_needed
from models.records import EventType
from models.settings import OPTIMIZERS

ROOT = "job.snapshot_root=/snapshots"


def test_an_override_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    file = tmp_path / "livetower.toml"
    file.write_text(
        "[job]\nsnapshot_root = '/data'\nparallelism = 2\n"
        "[model]\ntop_k = 5\n[kafka.properties]\n'security.protocol' = 'SSL'\n"
    )
    settings = load_settings(
        file, ["job.parallelism=4", "kafka.properties.ssl.truststore.location=/trust", "tower.half_lives=[1, 2.5]"]
    )
    assert (settings.job.snapshot_root, settings.job.parallelism, settings.model.top_k) == ("/data", 4, 5)
    assert settings.kafka.properties == {"security.protocol": "SSL", "ssl.truststore.location": "/trust"}
    assert settings.tower.half_lives == (1.0, 2.5)
    assert settings.job.user_key == "kafka-key"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("job.paralelism=2", "setting job.paralelism: no such setting; the nearest is job.parallelism"),
        ("modle.top_k=2", "setting modle: no such setting; the nearest is model"),
        ("job.parallelism=two", "setting job.parallelism: needed a value of type int; got 'two'"),
        ("job.parallelism=0", r"setting job.parallelism: needed in \[1, 128\]; got 0"),
        ("job.user_key=header", "setting job.user_key: needed one of kafka-key, payload; got 'header'"),
        ("model.top_k=0", "setting model.top_k: "),
        ("model.emit=sometimes", "setting model.emit: must be always or changed; got 'sometimes'"),
        ("model.loss=hinge", "setting model.loss: must be one of softmax, bce, mse; got 'hinge'"),
        ("model.optimizer=adamw", "setting model.optimizer: must be one of sgd, adagrad, adam; got 'adamw'"),
        ("model.event_weights.stare=1", "setting model.event_weights: must be of view, click, .*; got 'stare'"),
        ("model.event_weights.view=nan", r"setting model.event_weights.view: must be in \[-100, 100\]; got nan"),
        ("model.event_weights.view=much", "setting model.event_weights.view: needed a value of type float; got 'much'"),
        ("model.event_weights=1", "setting model.event_weights: needed a table of values of type float; got 1"),
        ("kafka.properties.acks=0", "setting kafka.properties: needed none of the properties that the job sets itself"),
        ("topics.items=rejected", "setting topics: needed 7 different names"),
        ("topics.interactions_priority=items", "setting topics: needed 7 different names"),
        ("kafka.delivery=twice", "setting kafka.delivery: needed idempotent or exactly-once; got 'twice'"),
        ("kafka.transaction_timeout_s=0", r"setting kafka.transaction_timeout_s: needed in \[1, 2000000\]; got 0.0"),
        ("parallelism", "setting --set: needed section.name=value; got 'parallelism'"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_what_was_needed(override, message):
    with pytest.raises(InvalidSettings, match=message):
        load_settings(None, [ROOT, override])


def test_the_snapshot_root_has_no_default():
    with pytest.raises(InvalidSettings, match=r"setting job\.snapshot_root: needed an absolute directory .*; got ''"):
        load_settings(None)


def test_text_stays_text_whatever_it_looks_like():
    assert load_settings(None, [ROOT, "job.group_id=007"]).job.group_id == "007"


def test_weights_of_event_types_that_are_not_named_keep_their_defaults(tmp_path):
    file = tmp_path / "livetower.toml"
    file.write_text("[model.event_weights]\nview = 0.25\npurchase = 4\n")
    weights = load_settings(file, [ROOT, "model.event_weights.skip=0"]).model.event_weights
    assert weights == {"view": 0.25, "click": 1, "like": 1, "purchase": 4, "rating": 1, "dislike": -1, "skip": 0}
    assert '"purchase": 4.0' in settings_json(load_settings(file, [ROOT]))


def test_every_event_type_about_an_item_has_a_weight():
    weights = load_settings(None, [ROOT]).model.event_weights
    assert set(weights) == {str(kind) for kind in EventType} - {"request", "profile", "erase"}


def test_switching_the_optimiser_switches_the_rates_with_it():
    for optimizer in OPTIMIZERS:
        s = load_settings(None, [ROOT, f"model.optimizer={optimizer}"])
        suffix = "" if optimizer == "adagrad" else f"_{optimizer}"
        assert s.model.rate == getattr(s.model, f"learning_rate{suffix}")
        expected = tuple(getattr(s.tower, f"learning_rate{part}{suffix}") for part in ("", "_bias"))
        assert s.tower.rates(optimizer) == expected


def test_the_model_settings_can_be_pickled_for_the_operators():
    model = load_settings(None, [ROOT, "model.event_weights.skip=-1"]).model
    assert pickle.loads(pickle.dumps(model)) == model  # noqa: S301  # cloudpickle does so inside Flink


def test_the_log_shows_no_value_of_a_kafka_property():
    shown = settings_json(load_settings(None, [ROOT, "kafka.properties.sasl.jaas.config=secret"]))
    assert "sasl.jaas.config" in shown
    assert "secret" not in shown


def test_announcements_have_one_partition_and_room_grows_towards_rejected():
    topics = {topic.name: topic for topic in topics_needed(load_settings(None, [ROOT, "topics.partitions=7"]))}
    assert {name: topic.partitions for name, topic in topics.items()} == {
        "interactions": 7,
        "interactions-priority": 7,
        "items": 7,
        "item-snapshots": 1,
        "commands": 1,
        "recommendations": 7,
        "rejected": 7,
    }
    assert topics["interactions"].max_message_bytes == 1024 * 1024 + 64 * 1024
    assert topics["rejected"].max_message_bytes == 1024 * 1024 + 128 * 1024


@pytest.mark.parametrize(("top_k", "least_bytes"), [(10, 1024 * 1024), (255, 255 * 2 * 6 * 512)])
def test_the_topic_of_recommendations_takes_the_longest_list(top_k, least_bytes):
    settings = load_settings(None, [ROOT, f"model.top_k={top_k}"])
    (topic,) = (topic for topic in topics_needed(settings) if topic.name == "recommendations")
    assert least_bytes <= topic.max_message_bytes < 2 * least_bytes
    (sink,) = (s for s in all_tables(settings) if "'recommendations'" in s)
    assert f"'properties.max.request.size' = '{topic.max_message_bytes}'" in sink
    check_list_size(settings, topic.max_message_bytes)


def test_a_topic_that_the_longest_list_does_not_fit_is_refused_with_the_cure():
    usual = 1_048_588  # Kafka's default
    check_list_size(load_settings(None, [ROOT]), usual)
    check_list_size(load_settings(None, [ROOT, "model.top_k=255"]), None)
    with pytest.raises(InvalidSettings, match=r"model\.top_k = 255 may be so long; it has 1048588\. Raise it"):
        check_list_size(load_settings(None, [ROOT, "model.top_k=255"]), usual)


def test_every_topic_is_created_with_a_bound_that_the_settings_move():
    told = [ROOT, "topics.retention_h=2", "topics.rejected_mib=3", "topics.segment_mib=4"]
    topics = {topic.name: topic.config for topic in topics_needed(load_settings(None, told))}
    assert {config["segment.bytes"] for config in topics.values()} == {str(4 * 2**20)}
    deleted = {name for name, config in topics.items() if "delete" in config["cleanup.policy"]}
    assert deleted == {"interactions", "interactions-priority", "item-snapshots", "commands", "rejected"}
    assert {name for name, config in topics.items() if config.get("retention.ms") == "7200000"} == deleted
    assert {name for name, config in topics.items() if "min.cleanable.dirty.ratio" in config} == {
        name for name, config in topics.items() if "compact" in config["cleanup.policy"]
    }
    assert [name for name, config in topics.items() if "retention.bytes" in config] == ["rejected"]
    assert topics["rejected"]["retention.bytes"] == str(3 * 2**20)
