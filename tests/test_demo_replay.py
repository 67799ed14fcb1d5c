"""The sender's pace and stamps on a clock that the test moves, and the listener on records without a broker."""

import threading

import orjson
import pytest

from livetower.demo.errors import DemoError
from livetower.demo.listener import Listener
from livetower.demo.live_quality import LiveQuality
from livetower.demo.replay import PROBE, Sender, send_all, send_paced
from livetower.demo.stream import Stream, encode_stream
from livetower.watch.followed import Entry, FollowedUser, ShownList

MS = 1_000_000


def stream_of(*pairs: tuple[str, str]) -> Stream:
    return encode_stream(
        {"event_id": f"e{n}", "user_id": user, "item_id": item} for n, (user, item) in enumerate(pairs)
    )


SIX = stream_of(*[("ann", str(n)) for n in range(6)])


class World:
    """A clock that moves only by sleeping, and a producer that notes what it was given and when."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * MS
        self.sent: list[tuple[float, str, bytes, bytes | None]] = []
        self.full_for = 0
        self.late_at: dict[int, int] = {}  # number of a record -> how long the producer then takes

    def clock_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_ns += round(seconds * 1e9)

    def produce(self, topic: str, value: bytes, key: bytes | None = None) -> None:
        if self.full_for > 0:
            raise BufferError
        self.sent.append(((self.now_ns - 1_000 * MS) / MS, topic, value, key))
        self.now_ns += self.late_at.get(len(self.sent), 0)

    def poll(self, timeout: float) -> int:
        self.now_ns += round(timeout * 1e9)
        self.full_for -= 1
        return 0


def pace(
    world: World, part: range, sent_ns: list[int], stop: threading.Event | None = None, events_per_probe: int = 3
) -> None:
    send_paced(
        SIX, part, world, "interactions", sent_ns, stop or threading.Event(),
        events_per_s=500, events_per_probe=events_per_probe, probe_topic="probe", clock_ns=world.clock_ns,
        sleep=world.sleep,
    )  # fmt: skip


def test_events_leave_two_milliseconds_apart_with_a_probe_halfway_after_every_third():
    world, sent_ns = World(), [0] * 6
    pace(world, range(1, 6), sent_ns)
    assert [(at, topic) for at, topic, _, _ in world.sent] == [
        (0, "interactions"),
        (2, "interactions"),
        (4, "interactions"),
        (5, "probe"),
        (6, "interactions"),
        (8, "interactions"),
    ]
    assert [(value, key) for _, topic, value, key in world.sent if topic == "interactions"] == [
        (SIX.values[n], b"ann") for n in range(1, 6)
    ]
    assert sent_ns == [0, 1000 * MS, 1002 * MS, 1004 * MS, 1006 * MS, 1008 * MS]
    assert PROBE.unpack(world.sent[3][2]) == (1005 * MS,)


def test_a_late_event_does_not_shift_the_schedule():
    world = World()
    world.late_at = {2: 5 * MS}  # the second event, at 2 ms, holds the sender until 7 ms
    pace(world, range(6), [0] * 6, events_per_probe=100)
    assert [at for at, *_ in world.sent] == [0, 2, 7, 7, 8, 10]


def test_a_stopped_sender_sends_no_more():
    world, stop = World(), threading.Event()
    stop.set()
    pace(world, range(6), [0] * 6, stop)
    send_all(SIX, range(6), world, "interactions", [0] * 6, stop, world.clock_ns)
    assert world.sent == []


def test_at_full_speed_a_full_queue_is_waited_for_and_nothing_is_lost_or_stamped_too_early():
    world, sent_ns = World(), [0] * 6
    world.full_for = 2
    send_all(SIX, range(6), world, "interactions", sent_ns, threading.Event(), world.clock_ns)
    assert [value for _, _, value, _ in world.sent] == SIX.values
    assert sent_ns == [1100 * MS] * 6  # two polls of 50 ms


def test_two_events_with_one_id_are_refused():
    with pytest.raises(DemoError, match="'e' occurs twice"):
        encode_stream([{"event_id": "e", "user_id": "ann", "item_id": "x"}] * 2)


def listener(stream: Stream, sent_ns: list[int]) -> Listener:
    made = Listener.__new__(Listener)  # without its consumer: these tests have no broker
    made._stream, made._sent_ns, made._answers = stream, sent_ns, LiveQuality(stream.users, stream.items)
    made.followed = FollowedUser()
    made.arrivals, made.wait_ns, made.appended_ms, made.latest = [], [0] * len(stream), [0] * len(stream), None
    return made


def recommendation(user: str, trigger: str, *items: str) -> bytes:
    return orjson.dumps(
        {
            "rec_id": f"{user}:{trigger}",
            "user_id": user,
            "user_since_ms": 0,
            "user_seq": 1,
            "trigger": trigger,
            "items": [{"item_id": i} for i in items],
        }
    )


def test_a_list_is_timed_once_and_foreign_lists_are_ignored():
    ear = listener(SIX, [10, 20, 30, 40, 50, 60])
    ear.accept_recommendation(recommendation("ann", "e1", "2"), appended_ms=7, now_ns=120)
    ear.accept_recommendation(recommendation("ann", "e1", "9"), appended_ms=8, now_ns=500)  # again
    ear.accept_recommendation(recommendation("ann", "other run", "2"), appended_ms=9, now_ns=500)
    ear.accept_recommendation(recommendation("bob", "e2", "3"), appended_ms=9, now_ns=500)  # e2 is Ann's
    assert (ear.arrivals, ear.wait_ns, ear.appended_ms) == ([1], [0, 100, 0, 0, 0, 0], [0, 7, 0, 0, 0, 0])
    assert ear._answers.rates(0, 6).live_hits == 1
    assert ear.followed.shown({"2": "Two"}) == ShownList("ann", (Entry("2", "Two", ""),))


def test_what_was_sent_is_counted_by_position():
    sender = Sender.__new__(Sender)  # without its producer
    sender.sent_ns = [5, 6, 7, 0, 0]
    assert sender.sent == 3
    sender.sent_ns = [0, 0]
    assert sender.sent == 0
