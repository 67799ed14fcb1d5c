"""Records as they are seen on the topics in, a view out. Pure: no Kafka, no clock; reader.py brings both.

Lag: every list names the interaction that it answers, and of each partition of interactions the job reads in order. So
the job has reached at least the newest interaction whose list was seen; that is known within milliseconds, where the
group's committed offsets are as old as the last checkpoint. The further of the two counts.
"""

import sys
from collections import Counter, deque
from collections.abc import Iterable, Mapping

import orjson

from livetower.watch.bounded import keep_newest
from livetower.watch.click_through import ClickThrough
from livetower.watch.followed import FollowedUser
from livetower.watch.freshness import percentile_ms
from livetower.watch.live_hits import LiveHits
from livetower.watch.view import SnapshotSeen, View, snapshot_of
from models.records import EventType, InvalidRecord, parse_interaction, parse_item
from models.settings import ModelSettings

WINDOW_S = 5.0
"""Speed and freshness are those of the last seconds."""
UNANSWERED_MAX = 200_000
"""Interactions of which the place is known and the list was not seen; about 30 MB."""
TITLES_MAX = 200_000
SNAPSHOTS_TOLD = 10
RECORD_BYTES = 2**31  # Kafka's own bound
NO_ITEM = frozenset({EventType.REQUEST, EventType.PROFILE})
NEGATIVE = frozenset({EventType.DISLIKE, EventType.SKIP})


class Figures:
    """What was seen since `began_s`; memory is bounded by the constants above and those of the modules it uses."""

    def __init__(self, model: ModelSettings, user_id: str | None, began_s: float) -> None:
        self.part = ""
        """A word on what the watch does, shown with the view."""
        self.ends: Mapping[int, tuple[int, int]] = {}
        """First offset and end of every partition of interactions; empty while unknown."""
        self.committed: Mapping[int, int] = {}
        """Offsets that the job's group has committed, by partition."""
        self._model = model
        self._began_s = began_s
        self._hits = LiveHits()
        self._clicks = ClickThrough()
        self._followed = FollowedUser(user_id)
        self._snapshot: SnapshotSeen | None = None
        self._rejected: Counter[str] = Counter()
        self._unreadable = 0
        self._waits: deque[tuple[float, int]] = deque()  # when a list came, how long after its interaction in ns
        self._titles: dict[str, str] = {}
        self._unanswered: dict[str, tuple[int, int]] = {}  # rec_id -> partition, offset of its interaction
        self._reached: dict[int, int] = {}  # partition -> the offset after the newest answered interaction

    def accept_interaction(self, value: bytes | None, kafka_ms: int, partition: int, offset: int) -> None:
        """A record of the topic of interactions; what the job rejects counts for nothing here."""
        limits = self._model
        try:
            event = parse_interaction(
                value,
                kafka_ms,
                max_bytes=limits.max_record_bytes,
                future_tolerance_ms=1_000 * limits.future_tolerance_s,
            )
        except InvalidRecord:
            return
        answer = f"{event.user_id}:{event.event_id}"
        item_id = None if event.event_type in NO_ITEM else event.item_id
        positive = item_id is not None and event.event_type not in NEGATIVE
        self._hits.accept_event(answer, event.user_id, item_id, positive)
        keep_newest(self._unanswered, answer, (partition, offset), UNANSWERED_MAX)
        if positive and event.rec_id is not None:
            self._clicks.accept_click(event.rec_id, event.position, event.item_id)

    def accept_recommendation(self, value: bytes | None, received_ns: int, now_s: float) -> None:
        """A record of the topic of recommendations: `received_ns` on the clock of Kafka's timestamps, `now_s` on that
        of the views.
        """
        if value is None:
            return
        try:
            seen = orjson.loads(value)
            rec_id, item_ids = seen["rec_id"], tuple(sys.intern(item["item_id"]) for item in seen["items"])
            snapshot, version = snapshot_of(seen), (seen["user_since_ms"], seen["user_seq"])
            wait_ns = max(0, received_ns - 1_000_000 * seen["clock"]["kafka_ms"])
            user_id, strategy = seen["user_id"], seen["strategy"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            self._unreadable += 1
            return
        self._snapshot = snapshot
        self._waits.append((now_s, wait_ns))
        self._hits.accept_list(rec_id, item_ids)
        self._clicks.accept_list(rec_id, strategy, snapshot.name, item_ids)
        self._followed.accept_list(user_id, version, item_ids, now_s)
        if (place := self._unanswered.pop(rec_id, None)) is not None:
            partition, offset = place
            self._reached[partition] = max(self._reached.get(partition, 0), offset + 1)

    def accept_rejected(self, headers: Iterable[tuple[str, bytes | None]] | None) -> None:
        """A record of the topic of rejected records, by its Kafka headers."""
        self._rejected[reason_of(headers)] += 1

    def accept_item(self, key: bytes | None, value: bytes | None) -> None:
        """A record of the topic of items, for its title."""
        try:
            item = parse_item(key, value, max_bytes=RECORD_BYTES)
        except InvalidRecord:
            return
        if item.title:
            keep_newest(self._titles, item.item_id, item.title, TITLES_MAX)

    def view(self, now_s: float) -> View:
        """All of it at this moment."""
        while self._waits and self._waits[0][0] <= now_s - WINDOW_S:
            self._waits.popleft()
        waits = sorted(wait_ns for _, wait_ns in self._waits)
        elapsed_s = now_s - self._began_s
        return View(
            elapsed_s=elapsed_s,
            part=self.part,
            events_per_s=len(waits) / min(WINDOW_S, elapsed_s) if elapsed_s > 0 else 0.0,
            freshness_p50_ms=percentile_ms(waits, 50),
            freshness_p99_ms=percentile_ms(waits, 99),
            snapshot=self._snapshot,
            rates=self._hits.rates(),
            lag=self._lag(),
            rejected=dict(self._rejected),
            by_strategy=self._clicks.by_strategy(),
            by_snapshot=self._clicks.by_snapshot(SNAPSHOTS_TOLD),
            unknown_clicks=self._clicks.unknown,
            mistaken_clicks=self._clicks.mistaken,
            shown=self._followed.shown(self._titles),
            unreadable=self._unreadable,
        )

    def _lag(self) -> int | None:
        """Interactions that the job has not come to; None while the ends are unknown."""
        if not self.ends:
            return None
        return sum(
            max(0, end - max(start, self.committed.get(partition, 0), self._reached.get(partition, 0)))
            for partition, (start, end) in self.ends.items()
        )


def reason_of(headers: Iterable[tuple[str, bytes | None]] | None) -> str:
    """Why a record was rejected, as its headers say.

    >>> reason_of([("reason", b"no_key"), ("detail", None)]), reason_of(None)
    ('no_key', 'no reason')
    """
    return (dict(headers or ()).get("reason") or b"no reason").decode(errors="replace")
