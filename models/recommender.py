"""What one event does: `advance`, the one function that decides.

Flink's operator, `prequential.py` and the tests call it; nobody holds a second copy. It is pure: the same arguments
give the same result, bit for bit, and arguments are never changed (but for the item table's scratch). Where the parts
live: `user_step.py` is the step in one kernel, of which `learning.py` is the learning and `ranking.py` the list;
`examples.py` is what the item tower learns from.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.erasure import encode_erasure
from models.examples import Example, decode_example, example_header
from models.hashing import hash_id
from models.item_table import CLASSES, ItemTable, Popularity, activity_class, make_item_table
from models.learning import Floats, Ints
from models.ranking import Taken, Viewer, score_for_user
from models.rate_cap import is_over_cap, looks_like_a_bot
from models.ratings import rating_of
from models.records import EventType, Interaction, Recommendation, RecommendedItem
from models.settings import LOSSES, OPTIMIZERS, ModelSettings
from models.strategies import WEIGHTS, Strategy, beta_row
from models.user_profile import seeded_embedding
from models.user_state import (
    Header,
    InvalidState,
    UserState,
    checked_blob,
    decode_user_state,
    encode_user_state,
    new_user_state,
)
from models.user_step import DAY_MS, EVERY_DAY, EventNumbers, Mixed, Rules, Stepped, step_user

STRATEGIES: Final = {str(strategy): strategy for strategy in Strategy}
_NO_HASHES: Final[Ints] = np.empty(0, np.int64)
_NOT_SEEDED: Final[Floats] = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Advance:
    """What came of an event: the user's next state, the fresh list (None before any item table), the example (None if
    nothing is to be learned from it). A duplicate is recognised by its event id and changes nothing. An erasure leaves
    neither state nor list.
    """

    blob: bytes | None
    """The next state, as user_state.py lays it out; None: the user is erased."""
    recommendation: Recommendation | None = None
    example_blob: bytes | None = None
    """The example, as examples.py lays it out, or the erasure, as erasure.py does."""
    duplicate: bool = False
    late: bool = False
    """The event is older than the user's newest."""
    n_forgotten: int = 0
    """Consumed items dropped at the bound."""
    capped: bool = False
    """The user is too fast, so the event taught nothing; it is consumed and counted like any other."""
    clipped: bool = False
    """The gradient or the embedding was cut to its greatest length."""
    unchanged: bool = False
    """The list holds what the user's last one held, in the same order."""

    @property
    def state(self) -> UserState | None:
        """The next state, decoded."""
        return None if self.blob is None else decode_user_state(self.blob)

    @property
    def example(self) -> Example | None:
        """The example, decoded."""
        return None if self.example_blob is None or self.blob is None else decode_example(self.example_blob)


def advance(
    state: UserState | bytes | None, event: Interaction, items: ItemTable | None, now_ms: int, settings: ModelSettings
) -> Advance:
    """Learn from `event` and rank anew.

    `state` is a user's state or its blob, None for a user never seen; `items` is None before the first snapshot;
    `now_ms` is the event's Kafka timestamp. Raises FloatingPointError if the step leaves the finite numbers,
    InvalidState if the blob is none, or state or table have another dimension than the settings.
    """
    if event.event_type is EventType.ERASE:  # whatever the state is, and whether there is one
        return Advance(None, example_blob=encode_erasure(hash_id(event.user_id)))
    blob, before = checked_blob(_blob_of(state, now_ms, settings))
    _require_dimension(before.k, items, settings)
    item, user = hash_id(event.item_id), hash_id(event.user_id)
    strategy = event.strategy or STRATEGIES[settings.strategy]
    kind, weight = event.event_type, settings.event_weights.get(event.event_type, 0.0)
    follows, rating = weight > 0, rating_of(event)
    bot = looks_like_a_bot(blob, before, event, settings)
    capped = weight != 0 and (bot or is_over_cap(blob, before, event, settings))
    if capped:  # the recent items of a bot go on, so that it is seen until it is quiet
        follows, weight, rating = follows and bot, 0.0, None
    stepped = Stepped._make(
        step_user(
            np.frombuffer(blob, np.uint8),
            EventNumbers(
                item,
                hash_id(event.event_id),
                user,
                event.event_time_ms,
                weight,
                kind is not EventType.REQUEST and kind is not EventType.PROFILE,
                0.0 if rating is None else rating,
                rating is not None,
                follows,
            ),
            # Of a profile the first named becomes the newest.
            _hashes(event.items[::-1]) if kind is EventType.PROFILE else _NO_HASHES,
            _hashes(event.exclude) if event.exclude else _NO_HASHES,
            _seeded(blob, event, items, settings) if kind is EventType.PROFILE else _NOT_SEEDED,
            _rules(settings),
            _mixed(before.positives, before.positives + (weight > 0), strategy, items),
            (items or _NO_ITEMS).arrays,
        )
    )
    if stepped.duplicate:
        return Advance(blob, duplicate=True)
    if not math.isfinite(stepped.squares):
        raise FloatingPointError(
            f"user {event.user_id!r}: the step on item {event.item_id!r} left the finite numbers; "
            "lower the model's learning rate"
        )
    return Advance(
        stepped.blob.tobytes(),
        None if items is None else _recommendation(before, event, strategy, items, stepped),
        None if weight == 0 else _example(blob, before, event, item, user, weight, now_ms, stepped),
        late=stepped.late,
        n_forgotten=stepped.n_forgotten,
        capped=capped,
        clipped=stepped.clipped,
        unchanged=state is not None and items is not None and stepped.unchanged,
    )


def scores_before(state: UserState, event: Interaction, items: ItemTable, settings: ModelSettings) -> Floats:
    """The scores (I,) from which the user's list would be made at the event's time, before the event is learned; NaN
    for what must not be listed.
    """
    _require_dimension(len(state.embedding), items, settings)
    hidden = _hidden(state.consumed, state.consumed_day, event, settings)
    viewer = Viewer(state.embedding, state.recent, state.recent_ms, hidden, event.event_time_ms)
    activity, strategy = activity_class(state.positives), event.strategy or Strategy(settings.strategy)
    taken = Taken(
        weights=WEIGHTS[strategy],
        popularity=items.log_popularity[activity],
        gamma=float(items.popularity.gamma[activity]),
        beta=float(items.beta[beta_row(strategy), activity]),
        exploration=settings.exploration,
        rho=settings.rho,
        tau_s=settings.tau_s,
    )
    scores: Floats = score_for_user(viewer, taken, items.arrays)
    return scores


# ---- what goes into the kernel -------------------------------------------------------------------


def _blob_of(state: UserState | bytes | None, now_ms: int, settings: ModelSettings) -> bytes:
    """The blob of a state; of a new user that of one who has done nothing yet."""
    if state is None:
        state = new_user_state(settings.dimension, now_ms)
    return state if isinstance(state, bytes) else encode_user_state(state)


def _rules(settings: ModelSettings) -> Rules:
    s = settings
    return Rules(
        s.rho,
        s.tau_s,
        s.recent_items,
        s.consumed_max,
        EVERY_DAY if s.consumed_days is None else s.consumed_days,
        s.dedup_max,
        s.seed,
        LOSSES.index(s.loss),
        s.negatives,
        s.regularisation,
        OPTIMIZERS.index(s.optimizer),
        s.rate,
        s.gradient_max,
        s.norm_max,
        s.exploration,
        s.top_k,
        s.category_cap,
    )


def _mixed(before: int, after: int, strategy: Strategy, items: ItemTable | None) -> Mixed:
    """What a user with so many positive events before and after the event takes of the table."""
    table = items or _NO_ITEMS
    gamma, activity = table.popularity.gamma, activity_class(after)
    return Mixed(
        items is not None,
        WEIGHTS[strategy],
        table.log_popularity,
        float(gamma[activity_class(before)]),
        float(gamma[activity]),
        float(table.beta[beta_row(strategy), activity]),
    )


def _seeded(blob: bytes, event: Interaction, items: ItemTable | None, settings: ModelSettings) -> Floats:
    """Where a profile lets the user's embedding start (k,), or (0,) without a table."""
    if items is None:
        return _NOT_SEEDED
    user = decode_user_state(blob)
    return seeded_embedding(
        user.embedding, user.positives, event.items, event.categories, items, settings.profile_weight
    ).copy()


def _hashes(ids: tuple[str, ...]) -> Ints:
    return np.array([hash_id(each) for each in ids], np.int64)


def _no_items() -> ItemTable:
    """Stands in the kernel's arguments for a table that is not there."""
    popularity = Popularity(
        counts=np.zeros((0, 1)),
        cold=np.zeros(0, np.bool_),
        cold_counts=np.zeros(1, np.float32),
        alpha=np.zeros((CLASSES, 1), np.float32),
        gamma=np.zeros(CLASSES, np.float32),
        floor=1.0,
    )
    return make_item_table(
        epoch=0,
        trained_events=0,
        created_ms=0,
        sha256="",
        hashes=np.zeros(0, np.int64),
        vectors=np.zeros((0, 1), np.float32),
        biases=np.zeros(0, np.float32),
        available=np.zeros(0, np.bool_),
        ids=(),
        titles=(),
        popularity=popularity,
    )


_NO_ITEMS: Final = _no_items()


# ---- what comes out of it ------------------------------------------------------------------------


def _example(
    blob: bytes,
    before: Header,
    event: Interaction,
    item: int,
    user: int,
    weight: float,
    now_ms: int,
    stepped: Stepped,
) -> bytes:
    """The event as the tower sees it: everything about the user as it was before."""
    header = example_header(
        before.k,
        before.n_consumed,
        before.n_recent,
        activity_class(before.positives),
        user,
        item,
        now_ms,
        weight,
        stepped.target,
        rating_of(event) is not None,
    )
    weights, marks = stepped.recent_weights.tobytes(), stepped.fingerprints.tobytes()
    return b"".join([header, blob[before.embedding], weights, blob[before.recent], marks, event.item_id.encode()])


def _recommendation(
    before: Header, event: Interaction, strategy: Strategy, items: ItemTable, stepped: Stepped
) -> Recommendation:
    """The list as a record."""
    ids = items.ids
    entries = tuple(
        [
            RecommendedItem._make((ids[row], *score_and_parts, ids[cause] if cause >= 0 else None))
            for row, score_and_parts, cause in zip(
                stepped.rows.tolist(), stepped.parts.tolist(), stepped.because.tolist(), strict=True
            )
        ]
    )
    return Recommendation(
        user_id=event.user_id,
        user_since_ms=before.user_since_ms,
        user_seq=before.user_seq + 1,
        trigger=event.event_id,
        items=entries,
        strategy=strategy,
        epoch=items.epoch,
        trained_events=items.trained_events,
        snapshot_created_ms=items.created_ms,
    )


# ---- the checks ----------------------------------------------------------------------------------


def _hidden(consumed: Ints, consumed_day: NDArray[np.uint32], event: Interaction, settings: ModelSettings) -> Ints:
    """Hashes of what must not be listed: the consumed items, as far as settings say, and those the event excludes."""
    days = settings.consumed_days
    if days == 0:
        consumed = consumed[:0]
    elif days is not None:
        consumed = consumed[event.event_time_ms // DAY_MS - consumed_day.astype(np.int64) < days]
    if not event.exclude:
        return consumed
    return np.concatenate([consumed, _hashes(event.exclude)])


def _require_dimension(k: int, items: ItemTable | None, settings: ModelSettings) -> None:
    if k != settings.dimension or (items is not None and items.vectors.shape[1] != settings.dimension):
        table = "no item table" if items is None else f"an item table of dimension {items.vectors.shape[1]}"
        raise InvalidState(
            f"dimension must be {settings.dimension} as model.dimension says; "
            f"got a user state of dimension {k} and {table}"
        )
