"""learn-and-recommend: one user's event in, that user's next state and a fresh list out.

It translates between Flink and `models.recommender.advance`, which decides everything; the item table it ranks with is
the one that the broadcast stream `item-snapshots` announced last (table_loader.py). numpy and numba only: torch lives
in train_item_tower.py.

State:
    user             keyed by user, ValueState: one blob (models/user_state.py), 2.1 KiB after 100 events and 13 KiB at
                     most with the default settings. Dies model.user_ttl_days after the last accepted event, or with
                     the user's event `erase`. Only this operator reads it.
    item-snapshots   broadcast, MapState: 'full' and 'popularity' -> the latest announcement of either kind as it came,
                     400 KiB at most, and 'delta-<n>' -> the chain of deltas since that full one, 50 KiB each at most,
                     tower.deltas_per_full of them. Lives as long as the job. Read by this operator.
"""

import logging
import traceback

from pyflink.common import Duration, Row, Time, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor, StateTtlConfig, ValueStateDescriptor

from models.compile_kernels import compile_user_side
from models.recommender import Advance, advance
from models.records import (
    Clock,
    EventType,
    Interaction,
    InvalidRecord,
    Reason,
    check_key,
    encode_recommendation,
    parse_interaction,
    rec_id_of,
    recommendation_headers,
)
from models.settings import ModelSettings
from models.snapshots import FULL, POPULARITY, Announcement, InvalidSnapshot, decode_announcement
from models.strategies import Strategy
from models.user_state import InvalidState
from operators import rows
from operators.code_digest import require_submitted_code
from operators.emit_spacing import EmitSpacing
from operators.error_rate import ErrorRate, TooManyErrors
from operators.interpreter import go_first, keep_out_of_garbage_collection
from operators.snapshot_files import SnapshotFiles
from operators.table_loader import TableLoader, chain_of_deltas, remember
from operators.unrecoverable import suppress_restarts
from operators.wall_clock import wall_clock_ms

LOG = logging.getLogger(__name__)


class LearnAndRecommend(KeyedBroadcastProcessFunction):
    """Keyed input: rows.INTERACTION. Broadcast input: rows.SNAPSHOT. Output: rows.EMISSION.

    Counters:
        accepted                  events taken, of any type; each counts once
        duplicate                 events whose event_id is among the latest of their user: nothing changed
        late                      accepted events that are older than their user's newest
        erased                    … that were of the type erase: state cleared, a tombstone in place of the list
        forgotten                 consumed items dropped at model.consumed_max
        no_table                  accepted events that met no item snapshot and so got no list
        unchanged                 lists not sent since they equal the user's last (model.emit = changed)
        capped                    events of users that are too fast, from which nothing was learned
        clipped                   steps whose gradient or embedding was shortened (model.gradient_max, model.norm_max)
        overload_unsent           lists not sent: the job is behind and the user was just sent one (model.emit_apart_ms)
        attributed_hybrid         positive events that name a list of their user, and whose strategy is hybrid
        attributed_collaborative  … collaborative
        attributed_content        … content
        attributed_model          … model
        attributed_popular        … popular
        rejected                  records that went to the topic `rejected`
        internal_error            those of `rejected` that are our own bugs; the header `detail` has the traceback
        invalid_announcement      announcements of item snapshots that could not be read and were left aside
        snapshot_fallback         announced snapshots that could not be loaded: an older table ranks on
    """

    SNAPSHOTS = MapStateDescriptor("item-snapshots", Types.STRING(), Types.PICKLED_BYTE_ARRAY())

    def __init__(
        self, model: ModelSettings, *, snapshot_root: str, code_digest: str, pinned_snapshot: str = ""
    ) -> None:
        self._model = model
        self._snapshot_root = snapshot_root
        self._pinned_snapshot = pinned_snapshot
        self._code_digest = code_digest

    def open(self, runtime_context: RuntimeContext) -> None:
        """Compile the kernels before the first event. State is not read here: with no key set it answers wrongly."""
        require_submitted_code(self._code_digest, runtime_context)
        self._context = runtime_context
        go_first()
        self._user = runtime_context.get_state(self._user_descriptor())
        self._loader = TableLoader(SnapshotFiles(self._snapshot_root), self._model.dimension, self._pinned_snapshot)
        self._errors = ErrorRate(self._model.internal_error_max_per_minute)
        self._spacing = EmitSpacing(self._model.emit_apart_ms, self._model.behind_ms)
        self._news = True  # after a restore the broadcast state may hold announcements
        metrics = runtime_context.get_metrics_group()
        self._accepted, self._duplicate = metrics.counter("accepted"), metrics.counter("duplicate")
        self._erased = metrics.counter("erased")
        self._late, self._forgotten = metrics.counter("late"), metrics.counter("forgotten")
        self._no_table, self._unchanged = metrics.counter("no_table"), metrics.counter("unchanged")
        self._overload_unsent = metrics.counter("overload_unsent")
        self._capped, self._clipped = metrics.counter("capped"), metrics.counter("clipped")
        self._attributed = {strategy: metrics.counter(f"attributed_{strategy}") for strategy in Strategy}
        self._rejected, self._internal_error = metrics.counter("rejected"), metrics.counter("internal_error")
        self._invalid_announcement = metrics.counter("invalid_announcement")
        self._snapshot_fallback = metrics.counter("snapshot_fallback")
        compile_user_side(self._model)
        keep_out_of_garbage_collection()

    def process_broadcast_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.Context) -> None:
        """Remember the announcement; the next event loads the table, so that a run of announcements costs one load."""
        _, announced = value
        try:
            announcement = decode_announcement(announced)
        except InvalidSnapshot as error:
            self._invalid_announcement.inc()
            LOG.warning("announcement left aside: %s", error)
            return
        remember(ctx.get_broadcast_state(self.SNAPSHOTS), announcement, bytes(announced))
        self._news = True

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> list[Row]:
        """Learn from one interaction and rank anew, or say why not."""
        if self._news:
            self._load_table(ctx)
        user_key, key, payload, topic, partition, offset, kafka_ms = value
        try:
            event = parse_interaction(
                payload,
                kafka_ms,
                max_bytes=self._model.max_record_bytes,
                future_tolerance_ms=1_000 * self._model.future_tolerance_s,
            )
            check_key(user_key, key, event.user_id)
            emission = self._learn_and_recommend(event, kafka_ms)
        except InvalidRecord as error:
            self._rejected.inc()
            emission = rows.rejected(key, payload, error.reason, str(error), topic, partition, offset)
        except InvalidState as error:  # state and settings do not fit: no event could be learned, so none may be passed
            suppress_restarts(self._context, error)
            raise
        except Exception as error:  # our own bug must neither stop the job nor lose the event
            self._rejected.inc()
            self._internal_error.inc()
            self._require_few_errors(error, f"{topic}/{partition}/{offset}")
            LOG.exception("internal error at %s/%s/%s", topic, partition, offset)
            detail = traceback.format_exc()
            emission = rows.rejected(key, payload, Reason.INTERNAL_ERROR, detail, topic, partition, offset)
        return [] if emission is None else [emission]

    def _learn_and_recommend(self, event: Interaction, kafka_ms: int) -> Row | None:
        """The event's emission. The state is written when it is made, so an error on the way changes nothing."""
        result = advance(self._user.value(), event, self._loader.table, kafka_ms, self._model)
        learned_ms = wall_clock_ms()
        example = result.example_blob
        emission = None if example is None else rows.example(example)
        if example is None and self._loader.table is None and not result.duplicate:
            emission = rows.example(rows.WAKE)  # a tower that begins trained publishes with its first input
        # Somebody waits for the answer to a request.
        asked = event.event_type is EventType.REQUEST
        sparing = self._model.emit != "always" and not asked and not self._spacing.is_owed(event.user_id)
        unchanged = sparing and result.unchanged
        held_back = result.recommendation is not None and not unchanged and not asked
        held_back = held_back and self._spacing.holds_back(event.user_id, learned_ms - kafka_ms, learned_ms)
        if result.recommendation is not None and not unchanged and not held_back:
            self._spacing.note_sent(event.user_id, learned_ms)
            clock = Clock(event.event_time_ms, kafka_ms, learned_ms, wall_clock_ms())
            value = encode_recommendation(result.recommendation, clock)
            headers = recommendation_headers(result.recommendation, clock)
            emission = rows.recommendation(event.user_id.encode(), value, headers, example)
        if result.blob is None:
            assert example is not None
            self._user.clear()
            emission = rows.tombstone(event.user_id.encode(), wall_clock_ms(), example)
        elif not result.duplicate:
            self._user.update(result.blob)
        self._count(event, result)
        if unchanged:
            self._unchanged.inc()
        if held_back:
            self._overload_unsent.inc()
        return emission

    def _require_few_errors(self, error: Exception, place: str) -> None:
        """End the job if too many events fail: a restart would fail at the same ones."""
        try:
            self._errors.require_allowed(wall_clock_ms(), place, error)
        except TooManyErrors as too_many:
            suppress_restarts(self._context, too_many)
            raise

    def _count(self, event: Interaction, result: Advance) -> None:
        if result.duplicate:
            self._duplicate.inc()
            return
        self._accepted.inc()
        if result.blob is None:
            self._erased.inc()
            return
        if result.recommendation is None:
            self._no_table.inc()
        if (
            event.rec_id is not None
            and event.rec_id.startswith(rec_id_of(event.user_id, ""))
            and self._model.is_positive(event.event_type)
        ):
            self._attributed[event.strategy or Strategy(self._model.strategy)].inc()
        if result.late:
            self._late.inc()
        if result.capped:
            self._capped.inc()
        if result.clipped:
            self._clipped.inc()
        if result.n_forgotten:
            self._forgotten.inc(result.n_forgotten)

    def _load_table(self, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> None:
        announced = ctx.get_broadcast_state(self.SNAPSHOTS)
        fallbacks = self._loader.fallbacks
        self._loader.load(
            _announcement(announced.get(FULL)),
            _announcement(announced.get(POPULARITY)),
            list(chain_of_deltas(announced)),
        )
        self._snapshot_fallback.inc(self._loader.fallbacks - fallbacks)
        self._news = False

    def _user_descriptor(self) -> ValueStateDescriptor:
        descriptor = ValueStateDescriptor("user", Types.PICKLED_BYTE_ARRAY())
        if self._model.user_ttl_days > 0:
            ttl = StateTtlConfig.new_builder(Time.milliseconds(round(self._model.user_ttl_days * 86_400_000)))
            # Flink's own default, said in the one way that starts no second JVM in the TaskManager: PyFlink would make
            # the time between compactions (30 days, and unused in thread mode) through py4j.
            ttl.disable_cleanup_in_background().cleanup_in_rocksdb_compact_filter(1_000, Duration(None))
            descriptor.enable_time_to_live(ttl.build())
        return descriptor


def _announcement(stored: bytes | None) -> Announcement | None:
    return None if stored is None else decode_announcement(stored)
