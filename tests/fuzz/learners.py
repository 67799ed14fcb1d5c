"""learn-and-recommend, the real class on a fake Flink, under hostile records, keys, timestamps and announcements."""

import base64
import random
from collections import Counter
from itertools import count
from pathlib import Path

import orjson
from fake_flink import FakeFlink
from made_up import MODEL, NOW_MS, announced, announcement, interaction, snapshot
from pyflink.common import Row

from flink_jobs.topics import ROOM_BYTES
from fuzz import corpus
from fuzz.mutations import mutated
from models.records import Reason
from models.settings import ModelSettings
from models.user_state import decode_user_state
from operators import code_digest, rows
from operators.learn_and_recommend import LearnAndRecommend

USERS_MAX = 500
"""States that the fake Flink keeps: others are forgotten, as by their time to live."""
SETTINGS = {
    "default": MODEL,
    "squared error, sgd": ModelSettings(
        dimension=8, negatives=10, top_k=5, loss="mse", optimizer="sgd", consumed_max=16, emit="changed"
    ),
    "entropy, adam": ModelSettings(
        dimension=8,
        negatives=3,
        top_k=5,
        loss="bce",
        optimizer="adam",
        exclude_consumed="30",
        category_cap=1,
        exploration=2.0,
        dedup_max=0,
        recent_items=1,
    ),
}


class Learner:
    """One subtask; `feed` gives it one hostile input and says what became of it."""

    def __init__(self, root: Path, model: ModelSettings) -> None:
        self.flink = FakeFlink()
        self.operator = LearnAndRecommend(model, snapshot_root=str(root), code_digest=code_digest.IMPORTED_DIGEST)
        self.operator.open(self.flink)
        self.model = model
        self.numbers = count()
        self.state_bytes_max = 80 + 16 * model.recent_items + 12 * model.consumed_max
        self.state_bytes_max += 8 * (model.dedup_max + model.top_k) + 12 * model.dimension

    def feed(self, rng: random.Random) -> str:
        dice = rng.random()
        if dice < 0.02:
            return self.announce(rng)
        if dice < 0.4:  # a record that is fine but for its id, so that states have something to lose
            n = next(self.numbers)
            kind = rng.choice(("view", "rating", "dislike", "purchase", "profile", "request"))
            fields = {"value": rng.choice((5, -1e308, 1e308, 0, 1e-320))} if kind == "rating" else {}
            named = {"items": [f"i{n % 40}"], "categories": ["i1"]} if kind == "profile" else {}
            at_ms = rng.choice((NOW_MS, NOW_MS, 0, 1, NOW_MS + 299_999))
            value: bytes | None = interaction(
                f"n{n % 5_000}",
                rng.choice(corpus.USERS),
                f"i{n % 40}",
                event_type=kind,
                event_time_ms=at_ms,
                **fields,
                **named,
            )
        else:
            value = mutated(rng, corpus.INTERACTIONS)
        key = key_of(value) if rng.random() < 0.9 else mutated(rng, corpus.INTERACTIONS)
        kafka_ms = rng.choice((NOW_MS, NOW_MS, NOW_MS, NOW_MS + 86_400_000, 0, -1, 2**48))
        return self.event(key, value, kafka_ms)

    def event(self, key: bytes | None, value: bytes | None, kafka_ms: int = NOW_MS) -> str:
        """Feed a record and check that exactly one thing became of it. Raises AssertionError."""
        user_key = base64.b64encode(key or b"").decode()
        states = self.flink.keyed.setdefault("user", {})
        before, counted, n_users = states.get(user_key), Counter(self.flink.counters), len(states)
        emitted = self.flink.element(self.operator, (user_key, key, value, "interactions", 3, 41, kafka_ms), user_key)
        came = {name: n - counted[name] for name, n in self.flink.counters.items() if n != counted[name]}
        after = states.get(user_key)
        (outcome,) = {"accepted", "duplicate", "rejected"} & came.keys()
        assert came[outcome] == 1
        if outcome == "accepted":
            assert after is not None
            assert len(after) <= self.state_bytes_max
            known = 0 if before is None else decode_user_state(before).user_seq
            assert decode_user_state(after).user_seq == known + 1
            assert len(states) == n_users + (before is None)
            self._check_emitted(emitted)
            if len(states) > USERS_MAX:
                del states[next(iter(states))]
            return outcome
        assert after == before
        assert len(states) == n_users
        if outcome == "duplicate":
            assert emitted == []
            return outcome
        return self._rejected(emitted, key, value)

    def _rejected(self, emitted: list[Row], key: bytes | None, value: bytes | None) -> str:
        (row,) = emitted
        kind, out_key, out_value, headers, *others = row
        assert (kind, out_key, out_value, others) == (rows.REJECTED, key, value, [None, None, None])
        reason = headers["reason"].decode()
        assert reason in set(Reason)
        assert reason != Reason.INTERNAL_ERROR, headers["detail"].decode()
        assert sum(len(name) + len(header) for name, header in headers.items()) <= ROOM_BYTES // 4
        headers["detail"].decode()
        return reason

    def _check_emitted(self, emitted: list[Row]) -> None:
        """What goes out is JSON whose every number is one: a score that is not finite would be null."""
        for row in emitted:
            assert row[0] in (rows.RECOMMENDATION, rows.EXAMPLE)
            if row[0] == rows.RECOMMENDATION:
                listed = orjson.loads(row[2])["items"]
                assert len(listed) <= self.model.top_k
                assert all(each["score"] is not None and None not in each["parts"].values() for each in listed)

    def announce(self, rng: random.Random) -> str:
        """An announcement, hostile or good. Whatever it brings, the next event is learned."""
        dice = rng.random()
        if dice < 0.4:
            value = corpus.hostile_announcement(rng)
        elif dice < 0.7:
            value = mutated(rng, corpus.ANNOUNCEMENTS)
        else:
            n = rng.randrange(100)
            value = announced(announcement(snapshot(n, seed=n), n))[1]
        self.flink.announce(self.operator, (None, value))
        held = self.flink.broadcast["item-snapshots"] if self.flink.broadcast else {}
        assert sum(map(len, held.values())) <= 32 * 2**20
        n = next(self.numbers)
        assert self.event(b"u9", interaction(f"a{n}", "u9", f"i{n % 30}")) == "accepted"
        return "announcement"


def key_of(value: bytes | None) -> bytes | None:
    """The key that fits the record, as far as one can tell."""
    try:
        return str(orjson.loads(value or b"")["user_id"]).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return b"u1"
