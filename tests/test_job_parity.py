"""The running job and the evaluation, over the same events with one pinned snapshot: equal lists, event by event."""

import numpy as np
import orjson
import pytest
from proofs import Proof, prove
from running_job import RunningJob, wait_for

from livetower.chaos.accepted import timeless
from livetower.evaluate.streams import steady_stream
from models.prequential import LocalJob, pinned_recommendations, prequential_ranks
from models.publishing import full_snapshot
from models.records import Clock, Item, encode_recommendation, parse_interaction
from models.settings import ModelSettings, TowerSettings
from models.snapshots import decode_snapshot, digest, encode_snapshot, table_of
from models.strategies import Strategy

pytestmark = pytest.mark.flink

EVENTS = 5_000
MODEL = ModelSettings()


def learned_snapshot() -> bytes:
    """A full snapshot with all that a score has: learned vectors, neighbours, contents, categories."""
    events = steady_stream(np.random.default_rng(3), 4_000)
    items = [Item(item_id, category=item_id[0], tags=(item_id[-1],)) for item_id in {e.item_id for e in events}]
    job = LocalJob(MODEL, TowerSettings(content_warm_events=5), sorted(items, key=lambda item: item.item_id))
    prequential_ranks(job, events, lambda _: None)
    rows, _ = full_snapshot(job.stream.tower, 0, job.stream.trained)
    assert job.stream.tower.content.fitted
    assert (rows.neighbour_rows >= 0).any()
    return encode_snapshot(rows)


def send_all_kinds(job: RunningJob, item_ids: tuple[str, ...]) -> None:
    """EVENTS interactions of 60 users: every type, every strategy, exclusions and profiles, all drawn."""
    rng = np.random.default_rng(7)
    types = ["view"] * 8 + ["click", "like", "purchase", "rating", "dislike", "skip", "request", "profile"]
    for n in range(EVENTS):
        event_type = types[rng.integers(len(types))]
        item_id = item_ids[rng.integers(len(item_ids))]
        fields = {}
        if event_type == "profile":
            fields |= {"items": [item_id, "unknown"], "categories": [item_ids[n % len(item_ids)][0]]}
        if event_type == "rating":
            fields |= {"value": int(rng.integers(1, 6))}
        if n % 3 == 0:
            fields |= {"strategy": str(list(Strategy)[n % len(Strategy)])}
        if n % 5 == 0:
            fields |= {"exclude": [item_ids[rng.integers(len(item_ids))]]}
        named = None if event_type in ("request", "profile") else item_id
        job.event(f"e{n}", f"u{rng.integers(60)}", named, event_type=event_type, **fields)
    job.flush()


def test_the_job_and_the_evaluation_make_equal_lists(sandbox, tmp_path):
    file = tmp_path / "pinned.safetensors"
    file.write_bytes(learned_snapshot())
    table = table_of(decode_snapshot(file.read_bytes()), digest(file.read_bytes()), 0)
    settings = ("job.parallelism=2", f"job.pin_snapshot={file}")
    with RunningJob(sandbox, tmp_path / "snapshots", *settings) as job:
        send_all_kinds(job, table.ids)
        wait_for("a list for each event", lambda: len(job.lists()) >= EVENTS)
        lists = {record["rec_id"]: timeless(record) for record in job.lists()}
        events = [
            (parse_interaction(m.value(), m.timestamp()[1], max_bytes=65_536, future_tolerance_ms=300_000), m)
            for m in job.delivered
        ]
        timed = [(event, message.timestamp()[1]) for event, message in events]
        expected = {}
        for recommendation in pinned_recommendations(table, timed, MODEL):
            record = orjson.loads(encode_recommendation(recommendation, Clock(0, 0, 0, 0)))
            expected[record["rec_id"]] = timeless(record)
    wrong = sum(lists.get(rec_id) != record for rec_id, record in expected.items())
    prove(
        Proof(
            "lists of the job against the evaluation's",
            lost=len(expected.keys() - lists.keys()),
            doubled=len(lists.keys() - expected.keys()),
            wrong=wrong,
            note=f"{EVENTS:,} events of every type and strategy, parallelism 2, pinned",
        )
    )
    assert len(expected) == EVENTS
    assert {record["strategy"] for record in lists.values()} == set(Strategy)
    parts = {name for record in lists.values() for i in record["items"] for name, part in i["parts"].items() if part}
    assert parts == {"taste", "recent", "popularity", "bias", "neighbours", "content"}
