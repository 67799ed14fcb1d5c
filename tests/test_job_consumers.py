"""What a consumer of a running job gets: headers, partitions, schemas, only changed lists; `recommend` and `why`."""

import json
import threading
from itertools import pairwise

import orjson
import pytest
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient, NewTopic
from jsonschema import Draft202012Validator
from made_up import item
from running_job import RunningJob, wait_for

from flink_jobs.settings import InvalidSettings, load_settings
from flink_jobs.topics import create_missing_topics, longest_list_bytes
from livetower.cli import main
from livetower.consume import ListConsumer, NewestLists, Received, read_schema
from livetower.consume.partition import partition_of

pytestmark = pytest.mark.flink
USERS = [f"ü{n}" for n in range(12)]


def test_a_consumer_gets_each_changed_list_with_its_headers_where_the_commands_look_for_it(sandbox, tmp_path):
    with RunningJob(sandbox, tmp_path, "model.emit=changed") as job:
        for n in range(30):
            job.send("items", f"i{n}".encode(), item(f"i{n}", title=f"Title {n}"))
        job.wait_for_first_list()
        for user in USERS:
            job.event(f"{user}-1", user, "i1", rec_id=f"{user}:e0", position=0)
        job.flush()
        job.topic("recommendations").wait_until(
            "each user's first list", lambda _: {r["user_id"] for r in job.lists()} >= set(USERS)
        )
        wait_for("clicks on lists", lambda: job.counter("learn-and-recommend", "attributed_hybrid") == len(USERS))

        # To skip an item that nobody knows changes no list, but for a new item table now and then.
        for n in range(20):
            job.event(f"{USERS[0]}-s{n}", USERS[0], f"unknown{n}", event_type="skip")
        job.flush()
        events = sum(message.topic() == job.topics["interactions"] for message in job.delivered)
        wait_for("every event", lambda: job.counter("learn-and-recommend", "accepted") == events)
        unsent = sum(job.counter("learn-and-recommend", name) for name in ("unchanged", "no_table"))
        job.topic("recommendations").wait_until("every list", lambda messages: len(messages) == events - unsent)
        assert job.counter("learn-and-recommend", "unchanged") >= 10
        sent = [[i["item_id"] for i in r["items"]] for r in job.lists() if r["user_id"] == USERS[0]]
        assert all(before != after for before, after in pairwise(sent))

        messages = job.topic("recommendations").messages
        schema = Draft202012Validator(read_schema("recommendation"))
        for message in messages:
            record = orjson.loads(message.value())
            schema.validate(record)
            snapshot = record["snapshot"]
            assert dict(message.headers()) == {
                "snapshot": f"{snapshot['epoch']}-{snapshot['trained_events']}".encode(),
                "emitted_ms": str(record["clock"]["emitted_ms"]).encode(),
            }
            assert message.partition() == partition_of(message.key(), 4)

        newest, received = NewestLists(), []
        consumer = ListConsumer(sandbox.bootstrap_servers, job.topics["items"], topic=job.topics["recommendations"])

        def take_list(each: Received) -> None:
            received.append(each)
            newest.accept(each.recommendation)
            if len(received) == len(messages):
                consumer.stop()

        patience = threading.Timer(60, consumer.stop)
        patience.start()
        consumer.run(take_list)
        patience.cancel()
        places = {(each.partition, each.offset) for each in received}
        assert places == {(m.partition(), m.offset()) for m in messages}
        assert len(newest) == len(USERS) + 1  # the probe too

        where = ["--bootstrap-servers", sandbox.bootstrap_servers, "--topic", job.topics["recommendations"]]
        where += ["--items-topic", job.topics["items"]]
        for user in USERS:
            shown = CliRunner().invoke(main, ["recommend", user, "--json", *where])
            assert shown.exit_code == 0, shown.output
            record = json.loads(shown.stdout)
            assert record["rec_id"] == newest.of(user).rec_id
            assert [i["title"] for i in record["items"]] == [f"Title {i['item_id'][1:]}" for i in record["items"]]
        reasons = CliRunner().invoke(main, ["why", USERS[0], *where])
        assert reasons.exit_code == 0, reasons.output
        assert f"follows event    {newest.of(USERS[0]).trigger}" in reasons.stdout


def test_a_topic_that_the_longest_list_does_not_fit_is_refused_at_submission(sandbox):
    topic = "narrow-recommendations"
    admin = AdminClient({"bootstrap.servers": sandbox.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 4, 1, config={"max.message.bytes": "50000"})])[topic].result(30)
    settings = load_settings(
        None,
        [
            f"kafka.bootstrap_servers={sandbox.bootstrap_servers}",
            f"topics.recommendations={topic}",
            "job.snapshot_root=/snapshots",
        ],
    )
    with pytest.raises(InvalidSettings, match=f"needed max.message.bytes of {longest_list_bytes(settings)} or more"):
        create_missing_topics(settings)
