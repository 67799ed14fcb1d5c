"""Laws of `advance`: what one event may change, and what it must leave alone."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import MODEL, START_MS, event, item_table, replay

from models.examples import decode_example, encode_example
from models.hashing import hash_id
from models.item_table import ItemTable, activity_class
from models.ratings import predict_deviation
from models.recommender import Advance, advance, scores_before
from models.records import EventType, Interaction
from models.strategies import Strategy
from models.user_state import UserState, as_dict, encode_user_state, new_user_state

EVENTS = [
    event(1, "i1"),
    event(2, "i2", EventType.LIKE),
    event(3, "i3", EventType.SKIP),
    event(4, kind=EventType.REQUEST),
    event(5, "i1", EventType.PURCHASE),
    event(6, "unheard of"),
    event(7, "i4", EventType.DISLIKE),
    event(8, "i5", EventType.RATING, at_ms=START_MS),
    event(9, "i6", EventType.CLICK),
]
TEACHING = [EventType.VIEW, EventType.CLICK, EventType.LIKE, EventType.PURCHASE, EventType.RATING]


@pytest.fixture(scope="module")
def table() -> ItemTable:
    return item_table()


@pytest.fixture
def user(table: ItemTable) -> UserState:
    """A user with some history."""
    return replay(EVENTS, table)[-1].state


def same(one: Advance, other: Advance) -> bool:
    """Equal bit for bit, examples included."""

    def example(of: Advance) -> list[object]:
        if of.example is None:
            return []
        values = [getattr(of.example, name) for name in of.example.__slots__]
        return [v.tobytes() if isinstance(v, np.ndarray) else v for v in values]

    return (
        one.state == other.state
        and one.recommendation == other.recommendation
        and one.duplicate == other.duplicate
        and example(one) == example(other)
    )


# ---- laws, for every kind of event ---------------------------------------------------------------


@pytest.mark.parametrize("kind", EventType)
def test_advance_leaves_its_arguments_as_they_were(kind: EventType, user: UserState, table: ItemTable) -> None:
    state_before = encode_user_state(user)
    table_before = {name: array.copy() for name, array in table.arrays._asdict().items()}
    advance(user, event(20, "i7", kind), table, START_MS, MODEL)
    assert encode_user_state(user) == state_before
    for name, array in table_before.items():
        assert np.array_equal(getattr(table.arrays, name), array), name


@pytest.mark.parametrize("kind", EventType)
def test_the_same_event_gives_the_same_result(kind: EventType, user: UserState, table: ItemTable) -> None:
    first, again = (advance(user, event(20, "i7", kind), table, START_MS, MODEL) for _ in range(2))
    assert same(first, again)


@pytest.mark.parametrize("kind", [kind for kind in EventType if kind is not EventType.ERASE])
def test_no_array_of_the_next_state_can_be_written_to(kind: EventType, user: UserState, table: ItemTable) -> None:
    for result in (advance(user, event(20, "i7", kind), t, START_MS, MODEL) for t in (table, None)):
        for name, value in as_dict(result.state).items():
            assert not isinstance(value, np.ndarray) or not value.flags.writeable, name


def test_other_users_events_change_nothing_at_a_fixed_table(table: ItemTable) -> None:
    alone = replay(EVENTS, table)
    state, among_others = None, []
    for n, e in enumerate(EVENTS):
        replay([event(m, f"i{(n + m) % 30}", user=f"other{n}") for m in range(4)], table)
        among_others.append(advance(state, e, table, e.event_time_ms + 7, MODEL))
        state = among_others[-1].state
    assert all(same(one, other) for one, other in zip(alone, among_others, strict=True))


@pytest.mark.parametrize("cut", range(len(EVENTS) + 1))
def test_a_replay_in_two_halves_through_bytes_equals_the_whole(cut: int, table: ItemTable) -> None:
    whole = replay(EVENTS, table)
    first = replay(EVENTS[:cut], table, through_bytes=True)
    state = first[-1].state if first else None
    second = replay(EVENTS[cut:], table, state=state, through_bytes=True)
    assert all(same(one, other) for one, other in zip(whole, first + second, strict=True))


def test_a_duplicate_event_moves_nothing(user: UserState, table: ItemTable) -> None:
    result = advance(user, replace(EVENTS[-1], item_id="i9"), table, START_MS, MODEL)
    assert same(result, Advance(encode_user_state(user), duplicate=True))


def test_an_event_older_than_the_dedup_ring_is_not_recognised(table: ItemTable) -> None:
    state = replay([event(n, f"i{n}") for n in range(MODEL.dedup_max + 1)], table)[-1].state
    assert not advance(state, event(0, "i0"), table, START_MS, MODEL).duplicate
    assert advance(state, event(1, "i1"), table, START_MS, MODEL).duplicate


# ---- what each kind of event does ----------------------------------------------------------------


@pytest.mark.parametrize("kind", TEACHING)
def test_a_positive_event_moves_the_embedding_and_makes_an_example(
    kind: EventType, user: UserState, table: ItemTable
) -> None:
    result = advance(user, event(20, "i7", kind), table, START_MS + 9, MODEL)
    assert not np.array_equal(result.state.embedding, user.embedding)
    assert result.state.accumulator > user.accumulator
    assert result.state.positives == user.positives + 1
    assert result.state.recent.tolist() == [hash_id("i7"), *user.recent[:3].tolist()]
    example = result.example
    assert example is not None
    assert (example.positive, example.item_id, example.user) == (hash_id("i7"), "i7", hash_id("u"))
    assert (example.kafka_ms, example.weight) == (START_MS + 9, 1.0)


def test_the_example_shows_the_user_as_it_was_before_the_event(user: UserState, table: ItemTable) -> None:
    example = advance(user, event(20, "i7"), table, START_MS, MODEL).example
    assert example is not None
    assert np.array_equal(example.embedding, user.embedding)
    assert np.array_equal(example.recent, user.recent)
    assert example.consumed.tolist() == [item % 2**16 for item in user.consumed.tolist()]
    assert example.activity == activity_class(user.positives)


@pytest.mark.parametrize(("kind", "weight"), [(EventType.DISLIKE, -1.0), (EventType.SKIP, -0.5)])
def test_dislike_and_skip_are_explicit_negatives_that_are_consumed_and_leave_the_context_alone(
    kind: EventType, weight: float, user: UserState, table: ItemTable
) -> None:
    result = advance(user, event(20, "i7", kind), table, START_MS, MODEL)
    assert result.example is not None
    assert (result.example.item_id, result.example.weight, result.example.target) == ("i7", weight, -1.0)
    assert result.state.consumed[-1] == hash_id("i7")
    assert not np.array_equal(result.state.embedding, user.embedding)
    unmoved = ("positives", "recent", "recent_ms")
    assert all(np.array_equal(getattr(result.state, name), getattr(user, name)) for name in unmoved)


def test_event_types_teach_what_the_settings_say(user: UserState, table: ItemTable) -> None:
    settings = replace(MODEL, event_weights={"view": 0, "click": -2, "purchase": 3.5})
    results = {kind: advance(user, event(20, "i7", kind), table, START_MS, settings) for kind in TEACHING}
    weights = {kind: r.example.weight for kind, r in results.items() if r.example is not None}
    assert weights == {EventType.CLICK: -2, EventType.LIKE: 1, EventType.PURCHASE: 3.5, EventType.RATING: 1}
    positive = {kind for kind, r in results.items() if r.state.positives > user.positives}
    assert positive == {EventType.LIKE, EventType.PURCHASE, EventType.RATING}
    unlearned = results[EventType.VIEW].state
    assert np.array_equal(unlearned.embedding, user.embedding)
    assert np.array_equal(unlearned.recent, user.recent)
    assert unlearned.consumed[-1] == hash_id("i7")


def test_a_rating_aims_at_its_distance_from_the_mean_of_the_users_ratings_before(table: ItemTable) -> None:
    def rating(n: int, value: float | None) -> Interaction:
        return replace(event(n, f"i{n}", EventType.RATING), value=value)

    results = replay([rating(1, 4.0), rating(2, 1.0), rating(3, None), rating(4, 3.0)], table)
    examples = [r.example for r in results if r.example is not None]
    assert [(e.target, e.rated) for e in examples] == [(0, True), (-3, True), (1, False), (0.5, True)]
    assert (results[-1].state.rating_sum, results[-1].state.rating_count) == (8, 3)


def test_the_value_of_an_event_that_is_no_rating_is_left_aside(table: ItemTable) -> None:
    state = replay([replace(event(1, "i1", EventType.PURCHASE), value=99.0)], table)[-1].state
    assert (state.rating_sum, state.rating_count) == (0, 0)


@pytest.mark.parametrize("value", [1e308, -1e308])
def test_ratings_beyond_all_bounds_still_make_a_finite_step(value: float, table: ItemTable) -> None:
    settings = replace(MODEL, loss="mse")
    events = [replace(event(n, f"i{n}", EventType.RATING), value=v) for n, v in enumerate((1.0, value, value))]
    for result in replay(events, table, settings, through_bytes=True):
        assert np.isfinite(result.state.embedding).all()
        assert result.example is not None
        assert decode_example(encode_example(result.example)).target == pytest.approx(result.example.target)


def test_a_predicted_deviation_is_the_score_without_popularity(user: UserState, table: ItemTable) -> None:
    e = event(20, kind=EventType.REQUEST)
    p = replace(table.popularity, alpha=np.zeros_like(table.popularity.alpha))
    bare = item_table(popularity=p)
    expected = by_the_formula(user, e, bare)
    for row in np.flatnonzero(np.isfinite(expected)):
        found = predict_deviation(user, int(table.hashes[row]), e.event_time_ms, table, MODEL)
        assert found == pytest.approx(expected[row], rel=1e-4, abs=1e-5)
    assert predict_deviation(user, hash_id("unheard of"), e.event_time_ms, table, MODEL) == 0


def test_a_request_ranks_without_learning(user: UserState, table: ItemTable) -> None:
    result = advance(user, event(20, kind=EventType.REQUEST), table, START_MS, MODEL)
    assert result.example is None
    assert result.recommendation is not None
    assert len(result.recommendation.items) == 5
    moved = {name for name, value in as_dict(result.state).items() if not np.array_equal(value, getattr(user, name))}
    assert moved <= {"user_seq", "event_ids", "newest_event_ms", "last_list"}
    assert result.state.user_seq == user.user_seq + 1


def test_without_a_table_the_state_is_learned_and_the_example_made_but_no_list(user: UserState) -> None:
    result = advance(user, event(20, "i7"), None, START_MS, MODEL)
    assert result.recommendation is None
    assert result.example is not None
    assert (result.state.no_table, user.no_table) == (1, 0)
    assert result.state.consumed[-1] == result.state.recent[0] == hash_id("i7")
    assert np.array_equal(result.state.embedding, user.embedding)
    assert np.array_equal(result.state.last_list, user.last_list)


def test_an_item_that_the_table_lacks_is_consumed_and_taught_but_makes_no_step(
    user: UserState, table: ItemTable
) -> None:
    result = advance(user, event(20, "never seen"), table, START_MS, MODEL)
    assert np.array_equal(result.state.embedding, user.embedding)
    assert result.example is not None
    assert result.state.consumed[-1] == hash_id("never seen")


def test_a_table_of_ten_items_teaches_nothing_yet() -> None:
    for n_items, moved in ((10, False), (11, True)):
        state = replay([event(1, "i1")], item_table(n_items))[-1].state
        assert state.embedding.any() == moved


def test_a_new_users_state_begins_at_its_first_kafka_timestamp(table: ItemTable) -> None:
    state = advance(None, event(1, "i1"), table, START_MS + 5, MODEL).state
    assert (state.user_since_ms, state.user_seq) == (START_MS + 5, 1)
    assert advance(state, event(2, "i2"), table, START_MS + 9, MODEL).state.user_since_ms == START_MS + 5


# ---- the list ------------------------------------------------------------------------------------


def test_the_list_is_the_formulas_best_items_that_the_user_has_not_consumed(table: ItemTable) -> None:
    for at, result in enumerate(replay(EVENTS, table)):
        state, recommendation = result.state, result.recommendation
        assert recommendation is not None
        expected = by_the_formula(state, EVENTS[at], table)
        best = np.argsort(-expected, kind="stable")[:5]
        assert [i.item_id for i in recommendation.items] == [table.ids[row] for row in best]
        np.testing.assert_allclose([i.score for i in recommendation.items], expected[best], rtol=1e-4, atol=1e-5)
        assert state.last_list.tolist() == [hash_id(i.item_id) for i in recommendation.items]


def by_the_formula(user: UserState, e: Interaction, table: ItemTable) -> np.ndarray:
    """Scores (I,) in float64, consumed items at minus infinity: the docstring of models/ranking.py, written out."""
    c = sum(user.positives >= lower for lower in (1, 2, 3, 5, 10, 20))
    q = table.vectors.astype(np.float64)
    h = user.embedding.astype(np.float64)
    total = np.sqrt(sum(MODEL.rho**n for n in range(len(user.recent))))
    for n, item in enumerate(user.recent):
        gap_ms = max(0, e.event_time_ms - int(user.recent_ms[n]))
        for row in np.flatnonzero(table.hashes == item):
            h = h + MODEL.rho**n * np.exp(-gap_ms / (1_000 * MODEL.tau_s)) / total * q[row]
    p = table.popularity
    logs = np.log(p.counts + p.cold[:, None] * p.cold_counts + p.floor).astype(np.float64)
    scores = p.gamma[c] * (q @ h) + table.biases + logs @ p.alpha[c]
    scores[np.isin(table.hashes, user.consumed)] = -np.inf
    return scores


def test_the_parts_of_every_score_sum_to_it(table: ItemTable) -> None:
    for result in replay(EVENTS, table):
        assert result.recommendation is not None
        for i in result.recommendation.items:
            assert sum(i[2:-1]) == pytest.approx(i.score, abs=1e-5)


def test_because_names_the_past_item_that_raised_the_score_most() -> None:
    vectors = np.zeros((20, 8), np.float32)
    vectors[1, 0] = vectors[2, 1] = 1  # two past items …
    vectors[3, 0], vectors[4, 1] = 2, 1  # … one item like each of them …
    vectors[5, 0] = -1  # … and one unlike the first
    table = item_table(20, vectors=vectors, biases=np.arange(20, dtype=np.float32) * 0)
    state = replay([event(1, "i1"), event(2, "i2")], table)[-1].state
    settings = replace(MODEL, top_k=20)
    result = advance(state, event(3, kind=EventType.REQUEST), table, START_MS, settings)
    assert result.recommendation is not None
    because = {i.item_id: i.because for i in result.recommendation.items}
    assert {name: because[name] for name in ("i3", "i4", "i5", "i6")} == {
        "i3": "i1",
        "i4": "i2",
        "i5": None,
        "i6": None,
    }


def test_consumed_items_are_never_listed(table: ItemTable) -> None:
    consumed: set[str] = set()
    for n, result in enumerate(replay([event(n, f"i{n}") for n in range(16)], table)):
        consumed.add(f"i{n}")
        assert result.recommendation is not None
        assert not consumed & {i.item_id for i in result.recommendation.items}


def test_unavailable_items_are_never_listed_and_never_negatives() -> None:
    available = np.arange(30) % 2 == 0
    vectors = item_table().vectors.copy()
    vectors[~available] = np.nan  # one of them drawn as a negative would make the step NaN, which raises
    table = item_table(available=available, vectors=vectors)
    for result in replay([event(n, f"i{2 * n}") for n in range(10)], table):
        assert result.recommendation is not None
        assert result.recommendation.items
        assert all(int(i.item_id[1:]) % 2 == 0 for i in result.recommendation.items)


def test_equal_scores_are_listed_by_row() -> None:
    popularity = replace(item_table().popularity, counts=np.ones((30, 2), np.float32), cold=np.zeros(30, np.bool_))
    zeros = np.zeros((30, 8), np.float32)
    table = item_table(vectors=zeros, biases=np.zeros(30, np.float32), popularity=popularity)
    result = replay([event(1, "i1")], table)[-1]
    assert result.recommendation is not None
    assert [i.item_id for i in result.recommendation.items] == ["i0", "i2", "i3", "i4", "i5"]


def test_an_item_with_a_score_that_is_no_number_is_never_listed() -> None:
    biases = np.zeros(30, np.float32)
    biases[::2] = np.nan
    result = replay([event(1, kind=EventType.REQUEST)], item_table(biases=biases))[-1]
    assert result.recommendation is not None
    assert len(result.recommendation.items) == 5
    assert all(int(i.item_id[1:]) % 2 == 1 for i in result.recommendation.items)


def test_a_user_who_has_consumed_everything_gets_an_empty_list() -> None:
    table = item_table(12)
    result = replay([event(n, f"i{n}") for n in range(12)], table)[-1]
    assert result.recommendation is not None
    assert result.recommendation.items == ()


def test_the_recommendation_names_its_event_and_its_snapshot(user: UserState, table: ItemTable) -> None:
    recommendation = advance(user, event(20, "i7"), table, START_MS, MODEL).recommendation
    assert recommendation is not None
    assert (recommendation.user_id, recommendation.trigger, recommendation.user_seq) == ("u", "u-20", 10)
    assert (recommendation.epoch, recommendation.trained_events) == (0, 100)
    assert recommendation.user_since_ms == EVENTS[0].event_time_ms + 7
    assert recommendation.snapshot_created_ms == START_MS


# ---- counters and bounds -------------------------------------------------------------------------


def test_an_event_older_than_its_users_newest_is_late_and_learned_all_the_same(table: ItemTable) -> None:
    times = [START_MS + at for at in (100, 50, 100, 99, 101)]
    results = replay([event(n, f"i{n}", at_ms=at) for n, at in enumerate(times)], table)
    assert [r.state.late for r in results] == [0, 1, 1, 2, 2]
    assert [r.state.newest_event_ms - START_MS for r in results] == [100, 100, 100, 100, 101]
    assert results[1].state.recent[0] == hash_id("i1")  # arrival decides the order


def test_the_oldest_consumed_items_are_forgotten_at_the_bound_and_counted(table: ItemTable) -> None:
    state = replay([event(n, f"i{n}") for n in range(19)], table)[-1].state
    assert state.consumed.tolist() == [hash_id(f"i{n}") for n in range(3, 19)]
    assert state.forgotten == 3
    assert (len(state.recent), len(state.event_ids)) == (4, 6)


def test_an_item_consumed_again_is_held_once_as_the_newest_with_its_new_day(table: ItemTable) -> None:
    day = 86_400_000
    events = [event(1, "i1", at_ms=3 * day), event(2, "i2", at_ms=4 * day), event(3, "i1", at_ms=5 * day)]
    state = replay(events, table)[-1].state
    assert state.consumed.tolist() == [hash_id("i2"), hash_id("i1")]
    assert state.consumed_day.tolist() == [4, 5]
    assert state.forgotten == 0


def test_the_last_moment_a_record_may_name_has_a_day() -> None:
    state = replay([event(1, "i1", at_ms=2**48 - 1)], None)[-1].state
    assert state.consumed_day.tolist() == [(2**48 - 1) // 86_400_000]


# ---- refusals ------------------------------------------------------------------------------------


def test_a_step_that_leaves_the_finite_numbers_raises_and_clears_its_marks() -> None:
    vectors = np.full((30, 8), 3e30, np.float32)
    vectors[::2] *= -1
    table = item_table(vectors=vectors)
    with pytest.raises(FloatingPointError, match="user 'u'"):
        replay([event(1, "i1"), event(2, "i2")], table)
    assert not table.arrays.marked.any()


@pytest.mark.parametrize(
    ("state", "dimension"), [(new_user_state(9, 0), 8), (None, 9)], ids=["another state", "another table"]
)
def test_another_dimension_than_the_settings_raises(state: UserState | None, dimension: int) -> None:
    with pytest.raises(ValueError, match="dimension must be 8"):
        advance(state, event(1, "i1"), item_table(dimension=dimension), START_MS, MODEL)


# ---- strategies, exclusions, profiles ------------------------------------------------------------


def listed(result: Advance) -> list[str]:
    assert result.recommendation is not None
    return [i.item_id for i in result.recommendation.items]


def test_an_event_chooses_its_strategy_and_else_the_settings_do(table: ItemTable, user: UserState) -> None:
    asked = advance(user, event(20, kind=EventType.REQUEST, strategy=Strategy.POPULAR), table, START_MS, MODEL)
    set_to = replace(MODEL, strategy="popular")
    by_settings = advance(user, event(20, kind=EventType.REQUEST), table, START_MS, set_to)
    assert asked.recommendation == by_settings.recommendation
    assert asked.recommendation is not None
    assert asked.recommendation.strategy == "popular"
    assert all(i.score == i.popularity for i in asked.recommendation.items)
    hybrid = advance(user, event(20, kind=EventType.REQUEST), table, START_MS, MODEL)
    assert hybrid.recommendation is not None
    assert hybrid.recommendation.strategy == "hybrid"
    assert listed(hybrid) != listed(asked)


def test_what_an_event_excludes_is_not_in_its_list_and_forgotten_afterwards(table: ItemTable, user: UserState) -> None:
    before = advance(user, event(20, kind=EventType.REQUEST), table, START_MS, MODEL)
    first, *rest = listed(before)
    without = advance(user, event(20, kind=EventType.REQUEST, exclude=(first, "unknown")), table, START_MS, MODEL)
    assert listed(without)[:4] == rest
    assert listed(advance(without.state, event(21, kind=EventType.REQUEST), table, START_MS, MODEL))[0] == first


@pytest.mark.parametrize(("exclude_consumed", "comes_back"), [("always", ()), ("never", (1, 2, 40)), ("30", (40,))])
def test_consumed_items_come_back_as_settings_say(exclude_consumed: str, comes_back: tuple[int, ...]) -> None:
    settings = replace(MODEL, exclude_consumed=exclude_consumed, top_k=30)
    table = item_table()
    ages = {1: "i3", 2: "i4", 40: "i5"}  # days ago
    day_ms = 86_400_000
    events = [event(n, item, at_ms=START_MS - day_ms * days) for n, (days, item) in enumerate(ages.items())]
    state = replay(events, table, settings)[-1].state
    request = event(9, kind=EventType.REQUEST, at_ms=START_MS)
    items = listed(advance(state, request, table, START_MS, settings))
    assert {days for days, item in ages.items() if item in items} == set(comes_back)


def test_a_category_cap_holds_in_the_list() -> None:
    table = item_table(categories=tuple("ab"[n % 2] for n in range(30)))
    items = listed(advance(None, event(1), table, START_MS, replace(MODEL, category_cap=1)))
    assert sorted(int(item[1:]) % 2 for item in items) == [0, 1]


def test_a_declared_profile_seeds_the_embedding_by_the_formula() -> None:
    table = item_table(categories=("drama", "crime", *(28 * ("",))))
    profile = event(1, kind=EventType.PROFILE, items=("i5", "unknown"), categories=("drama", "none"))
    state = advance(None, profile, table, START_MS, replace(MODEL, profile_weight=0.5)).state
    np.testing.assert_allclose(state.embedding, 0.5 * (table.vectors[5] + table.vectors[0]) / np.sqrt(2), rtol=1e-5)
    assert state.recent.tolist() == [hash_id("i5"), hash_id("unknown")]
    assert sorted(state.consumed.tolist()) == sorted([hash_id("i5"), hash_id("unknown")])
    assert state.positives == 0
    again = advance(replace(state, positives=3), replace(profile, event_id="2"), table, START_MS, MODEL).state
    np.testing.assert_allclose(
        again.embedding - state.embedding, (table.vectors[5] + table.vectors[0]) / 4 / np.sqrt(2), rtol=1e-5
    )


def test_who_declares_a_taste_gets_a_list_of_it_at_once() -> None:
    vectors = np.zeros((30, 8), np.float32)
    vectors[:15, 0] = vectors[15:, 1] = 1  # two tastes
    popularity = replace(item_table().popularity, alpha=np.zeros((7, 2), np.float32))
    table = item_table(vectors=vectors, popularity=popularity, biases=np.zeros(30, np.float32))
    profile = event(1, kind=EventType.PROFILE, items=("i20", "i21"))
    state = advance(None, profile, table, START_MS, MODEL).state
    later = event(2, kind=EventType.REQUEST, at_ms=START_MS + 30 * 86_400_000)  # the recent items have faded by then
    assert all(int(item[1:]) >= 15 for item in listed(advance(state, later, table, START_MS, MODEL)))


def test_the_scores_before_an_event_are_those_of_the_list_that_a_request_gets(
    table: ItemTable, user: UserState
) -> None:
    request = event(20, kind=EventType.REQUEST)
    scores = scores_before(user, request, table, MODEL)
    best = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")[:5]
    assert listed(advance(user, request, table, START_MS, MODEL)) == [table.ids[row] for row in best]


# ---- erasure -------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_table", [True, False])
def test_an_erasure_leaves_neither_state_nor_list_and_tells_the_tower(
    user: UserState, table: ItemTable, with_table: bool
) -> None:
    for state in (user, encode_user_state(user), None):
        erased = advance(state, event(20, kind=EventType.ERASE), table if with_table else None, START_MS, MODEL)
        assert (erased.state, erased.blob, erased.recommendation, erased.example) == (None, None, None, None)
        assert erased.example_blob == b"LTE1" + hash_id("u").to_bytes(8, "little", signed=True)
        assert not erased.duplicate


def test_a_user_is_erased_whatever_their_state_is() -> None:
    assert advance(b"no state of ours", event(1, kind=EventType.ERASE), None, START_MS, MODEL).blob is None
