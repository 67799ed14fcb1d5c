"""What one event does to a user, compiled: the next state, what the item tower needs of the old one, and the list.

One kernel from blob to blob, since between the events of a running job every call from Python finds cold caches, and
every array that crosses costs a fifth of a microsecond: in pieces the same took 2.4 times as long (`livetower bench`,
bare loop). `recommender.py` calls it and turns what comes out into values.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.hashing import mixed_stream
from models.item_table import TableArrays, class_of, find_row
from models.kernels import kernel
from models.learning import ROWS_FOR_A_STEP, Floats, Ints, fading_weights, learn_user
from models.optimisers import INITIAL_SQUARES
from models.ranking import Doubles, Taken, Viewer, rank_items
from models.sequences import appended, consumed_with, contains, prepended
from models.user_layout import (
    ACCUMULATOR,
    FORGOTTEN,
    LATE,
    NEWEST,
    NO_TABLE,
    OPTIMIZER,
    POSITIVES,
    RATING_COUNT,
    RATING_SUM,
    SEQ,
    STEPS,
    Bytes,
    n_moments,
    new_blob,
    parts_of,
)

DAY_MS: Final = 86_400_000
DECIMALS: Final = 1e6
"""Scores are rounded to six: what a float32 holds. The other digits of a float64 would make half of the record."""
EVERY_DAY: Final = -1


class Rules(NamedTuple):
    """What the settings say; units and meaning are theirs (`settings.ModelSettings`)."""

    rho: float
    tau_s: float
    recent_items: int
    consumed_max: int
    consumed_days: int  # EVERY_DAY: consumed items stay hidden for ever
    dedup_max: int
    seed: int
    loss: int
    negatives: int
    regularisation: float
    optimizer: int
    rate: float
    gradient_max: float  # 0: any length
    norm_max: float  # 0: any length
    exploration: float
    top_k: int
    category_cap: int


class EventNumbers(NamedTuple):
    """What the kernel needs of an event."""

    item: int  # hashes
    event_id: int
    user: int
    event_time_ms: int
    weight: float  # 0: it teaches nothing
    has_item: bool  # it names an item, which is consumed with it
    rating: float
    rated: bool
    follows: bool  # the item becomes the newest recent one


class Mixed(NamedTuple):
    """What the user's class and the strategy take of the table: the class before the event learns, that after it
    ranks.
    """

    has_table: bool
    weights: Floats  # (7,) of the strategy
    log_popularity: Floats  # (CLASSES, I)
    gamma_before: float
    gamma_after: float
    beta: float


class Stepped(NamedTuple):
    """What comes out. Arrays are new."""

    duplicate: bool
    blob: Bytes  # the next state; of a duplicate the one that came
    squares: float  # of the gradient: not finite if the step left the finite numbers
    target: float  # of the example
    recent_weights: Floats  # (R,) a_l at the event, before it
    fingerprints: NDArray[np.uint16]  # (C,) of the items consumed before it
    rows: Ints  # (T,) the list, best first
    parts: Doubles  # (T, 8) score, then strategies.PARTS, rounded
    because: Ints  # (T,) row of a recent item, or -1
    n_forgotten: int  # consumed items dropped at the bound
    late: bool
    unchanged: bool  # the list holds what the last one held, in the same order
    clipped: bool  # the gradient or the embedding was too long


@kernel
def step_user(
    blob: Bytes,
    event: EventNumbers,
    declared: Ints,
    excluded: Ints,
    seeded: Floats,
    rules: Rules,
    mixed: Mixed,
    table: TableArrays,
) -> Stepped:
    """One event of the user whose state is `blob`.

    declared (n,): item hashes of a profile, the last becomes the newest; excluded (n,): item hashes that are not to be
    listed; seeded (k,): the embedding that a profile starts from, or (0,).
    """
    old = parts_of(blob)
    no_rows, no_parts = np.empty(0, np.int64), np.empty((0, 8), np.float64)
    if contains(old.event_ids, event.event_id):
        nothing = np.empty(0, np.float32)
        no_marks = np.empty(0, np.uint16)
        return Stepped(
            True, blob.copy(), 0.0, 0.0, nothing, no_marks, no_rows, no_parts, no_rows.copy(), 0, False, False, False
        )
    k = len(old.embedding)
    optimizer = int(old.bytes_[OPTIMIZER])
    embedding, moments = old.embedding.copy(), old.moments.copy()
    accumulator, steps = old.doubles[ACCUMULATOR], int(old.words[STEPS])
    positives = int(old.words[POSITIVES])

    # ---- learning ----
    squares, clipped = 0.0, False
    target = 1.0 if event.weight > 0 else -1.0
    if event.rated:
        count = old.words[RATING_COUNT]
        target = event.rating - old.doubles[RATING_SUM] / count if count > 0 else 0.0
    recent_weights = fading_weights(old.recent_ms, event.event_time_ms, rules.rho, rules.tau_s)
    fingerprints = np.empty(len(old.consumed), np.uint16)
    for n in range(len(old.consumed)):
        fingerprints[n] = old.consumed[n] & 0xFFFF
    row = find_row(table.slots, table.hashes, event.item) if mixed.has_table and event.weight != 0 else -1
    if row >= 0 and len(table.candidates) > ROWS_FOR_A_STEP:
        if optimizer != rules.optimizer:  # the moments are another optimiser's: they start anew
            optimizer, accumulator, steps = rules.optimizer, INITIAL_SQUARES, 0
            moments = np.zeros(n_moments(k, optimizer), np.float32)
        steps += 1
        embedding, accumulator, moments, squares, clipped = learn_user(
            old.embedding,
            accumulator,
            moments,
            steps,
            old.recent,
            recent_weights,
            old.consumed,
            row,
            event.weight,
            target,
            event.rated,
            table.slots,
            table.hashes,
            table.vectors,
            table.biases,
            mixed.log_popularity[class_of(positives)],
            mixed.gamma_before,
            table.candidates,
            table.marked,
            mixed_stream(rules.seed, event.user, old.longs[SEQ]),
            rules.loss,
            rules.negatives,
            rules.regularisation,
            optimizer,
            rules.rate,
            rules.gradient_max,
            rules.norm_max,
        )
    if len(seeded) > 0:
        embedding = seeded.copy()

    # ---- remembering ----
    recent, recent_ms = old.recent.copy(), old.recent_ms.copy()
    consumed, days = old.consumed.copy(), old.consumed_day.copy()
    day, n_forgotten = event.event_time_ms // DAY_MS, 0
    if event.weight > 0:
        positives += 1
    if event.follows:
        recent = prepended(recent, event.item, rules.recent_items)
        recent_ms = prepended(recent_ms, event.event_time_ms, rules.recent_items)
    if event.has_item:
        consumed, days, n_forgotten = consumed_with(consumed, days, event.item, day, rules.consumed_max)
    for item in declared:
        recent = prepended(recent, item, rules.recent_items)
        recent_ms = prepended(recent_ms, event.event_time_ms, rules.recent_items)
        consumed, days, n_dropped = consumed_with(consumed, days, item, day, rules.consumed_max)
        n_forgotten += n_dropped
    event_ids = appended(old.event_ids, event.event_id, rules.dedup_max)

    # ---- ranking ----
    rows, parts, because = no_rows, no_parts, no_rows.copy()
    last_list, unchanged = old.last_list.copy(), False
    if mixed.has_table:
        hidden = np.empty(len(consumed) + len(excluded), np.int64)
        n_hidden = 0
        for n in range(len(consumed)):
            if rules.consumed_days == EVERY_DAY or day - int(days[n]) < rules.consumed_days:
                hidden[n_hidden] = consumed[n]
                n_hidden += 1
        for item in excluded:
            hidden[n_hidden] = item
            n_hidden += 1
        viewer = Viewer(embedding, recent, recent_ms, hidden[:n_hidden], event.event_time_ms)
        taken = Taken(
            mixed.weights,
            mixed.log_popularity[class_of(positives)],
            mixed.gamma_after,
            mixed.beta,
            rules.exploration,
            rules.rho,
            rules.tau_s,
        )
        rows, parts, because = rank_items(viewer, taken, table, rules.top_k, rules.category_cap)
        for t in range(len(rows)):
            for column in range(parts.shape[1]):
                parts[t, column] = np.rint(parts[t, column] * DECIMALS) / DECIMALS
        last_list = table.hashes[rows]
        unchanged = np.array_equal(last_list, old.last_list)

    # ---- the next state ----
    next_blob = new_blob(blob, k, optimizer, len(recent), len(consumed), len(event_ids), len(last_list))
    new = parts_of(next_blob)
    late = event.event_time_ms < old.longs[NEWEST]
    new.words[POSITIVES] = positives
    new.longs[SEQ] = old.longs[SEQ] + 1
    new.longs[NEWEST] = max(old.longs[NEWEST], event.event_time_ms)
    new.doubles[ACCUMULATOR] = accumulator
    if event.rated:
        new.doubles[RATING_SUM] += event.rating
        new.words[RATING_COUNT] += 1
    if late:
        new.words[LATE] += 1
    if not mixed.has_table:
        new.words[NO_TABLE] += 1
    new.words[FORGOTTEN] += n_forgotten
    new.words[STEPS] = steps
    new.recent[:], new.recent_ms[:] = recent, recent_ms
    new.consumed[:], new.consumed_day[:] = consumed, days
    new.event_ids[:], new.last_list[:] = event_ids, last_list
    new.embedding[:], new.moments[:] = embedding, moments
    return Stepped(
        False,
        next_blob,
        squares,
        target,
        recent_weights,
        fingerprints,
        rows,
        parts,
        because,
        n_forgotten,
        late,
        unchanged,
        clipped,
    )
