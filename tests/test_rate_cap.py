"""Users that are too fast teach nothing, and steps that are too long are shortened; both off unless they are set."""

from dataclasses import replace

import numpy as np
import orjson
import pytest
from worlds import MODEL, START_MS, TOWER, event, item_table

from models.item_table import ItemTable
from models.recommender import Advance, advance
from models.records import EventType
from models.settings import ModelSettings
from models.tower_kernels import cut_rows
from models.tower_stream import InputKind, TowerInput, TowerStream

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


@pytest.fixture(scope="module")
def table() -> ItemTable:
    return item_table()


def views(times_ms: list[int], table: ItemTable, settings: ModelSettings) -> list[Advance]:
    """One user views an item at each of these times."""
    results: list[Advance] = []
    for n, at_ms in enumerate(times_ms):
        state = results[-1].state if results else None
        seen = event(n, f"i{n % 30}", at_ms=START_MS + at_ms)
        results.append(advance(state, seen, table, START_MS + at_ms, settings))
    return results


def taught(results: list[Advance]) -> list[bool]:
    return [result.example is not None for result in results]


@pytest.mark.parametrize("settings", [MODEL, replace(MODEL, user_events_per_minute=3)])
def test_a_user_within_the_cap_is_learned_from_like_any_other(settings: ModelSettings, table: ItemTable) -> None:
    results = views([0, SECOND, 2 * SECOND], table, settings)
    assert taught(results) == [True] * 3
    plain = views([0, SECOND, 2 * SECOND], table, MODEL)
    assert [r.state for r in results] == [r.state for r in plain]


def test_in_each_minute_only_so_many_events_teach(table: ItemTable) -> None:
    times = [0, 10 * SECOND, 20 * SECOND, 30 * SECOND, 59_999, MINUTE, 69_999, 70 * SECOND]
    results = views(times, table, replace(MODEL, user_events_per_minute=3))
    assert taught(results) == [True, True, True, False, False, True, False, True]
    assert [r.capped for r in results] == [not each for each in taught(results)]


def test_an_event_beyond_the_cap_is_consumed_and_counted_and_moves_nothing_else(table: ItemTable) -> None:
    before, after = views([0, SECOND], table, replace(MODEL, user_events_per_minute=1))
    assert (after.state.user_seq, len(after.state.consumed), after.state.positives) == (2, 2, 1)
    assert np.array_equal(after.state.embedding, before.state.embedding)
    assert np.array_equal(after.state.recent, before.state.recent)
    assert after.recommendation is not None
    assert "i1" not in [item.item_id for item in after.recommendation.items]


@pytest.mark.parametrize("kind", [EventType.DISLIKE, EventType.SKIP, EventType.RATING])
def test_dislikes_and_ratings_of_a_user_beyond_the_cap_teach_nothing_either(kind: EventType, table: ItemTable) -> None:
    settings = replace(MODEL, user_events_per_minute=1)
    before = views([0], table, settings)[0].state
    result = advance(before, event(1, "i1", kind, at_ms=START_MS + 1), table, START_MS + 1, settings)
    assert (result.capped, result.example) == (True, None)
    assert (result.state.rating_count, np.array_equal(result.state.embedding, before.embedding)) == (0, True)


def test_a_request_is_never_capped(table: ItemTable) -> None:
    settings = replace(MODEL, user_events_per_minute=1)
    before = views([0], table, settings)[0].state
    result = advance(before, event(1, kind=EventType.REQUEST, at_ms=START_MS + 1), table, START_MS + 1, settings)
    assert not result.capped


def test_a_cap_above_the_recent_items_holds_the_same_rate_over_them(table: ItemTable) -> None:
    settings = replace(MODEL, recent_items=5, user_events_per_minute=60)  # 5 in 5 s
    assert all(taught(views([n * SECOND for n in range(20)], table, settings)))
    assert taught(views([n * 500 for n in range(13)], table, settings)) == [True] * 5 + [False] * 5 + [True] * 3


def test_a_bot_teaches_nothing_until_it_is_quiet(table: ItemTable) -> None:
    settings = replace(MODEL, recent_items=4, bot_events_per_hour=400)  # 4 in 36 s
    busy = [n * 5 * SECOND for n in range(12)]
    assert taught(views(busy, table, settings)) == [True] * 4 + [False] * 8
    quiet = busy[-4] + 36 * SECOND
    assert taught(views([*busy, quiet - 1], table, settings))[-1] is False
    assert taught(views([*busy, quiet], table, settings))[-1] is True


def test_an_event_that_claims_to_be_old_does_not_slip_through(table: ItemTable) -> None:
    assert taught(views([HOUR, HOUR + 1, 0], table, replace(MODEL, user_events_per_minute=2))) == [True, True, False]


# ---- lengths -------------------------------------------------------------------------------------


def step_of(settings: ModelSettings, table: ItemTable) -> np.ndarray:
    """How the first event moves the embedding under plain SGD, which is its gradient times a rate."""
    state = views([0], table, settings)[0].state
    return np.asarray(state.embedding, np.float64)


def test_a_gradient_that_is_too_long_is_shortened_and_keeps_its_direction(table: ItemTable) -> None:
    plain = replace(MODEL, optimizer="sgd", learning_rate_sgd=1.0)
    free = step_of(plain, table)
    length = float(np.linalg.norm(free))
    cut = step_of(replace(plain, gradient_max=length / 4), table)
    np.testing.assert_allclose(cut, free / 4, rtol=1e-5)
    assert views([0], table, replace(plain, gradient_max=length / 4))[0].clipped
    assert not views([0], table, replace(plain, gradient_max=length * 1.01))[0].clipped
    np.testing.assert_array_equal(step_of(replace(plain, gradient_max=length * 1.01), table), free)


def test_an_embedding_never_grows_beyond_its_greatest_length(table: ItemTable) -> None:
    settings = replace(MODEL, optimizer="sgd", learning_rate_sgd=5.0)
    free = views([n * HOUR for n in range(20)], table, settings)
    held = views([n * HOUR for n in range(20)], table, replace(settings, norm_max=0.5))
    assert max(float(np.linalg.norm(r.state.embedding)) for r in free) > 0.6
    assert max(float(np.linalg.norm(r.state.embedding)) for r in held) <= 0.5 * (1 + 1e-6)
    assert any(r.clipped for r in held)
    assert not any(r.clipped for r in free)


def test_rows_are_shortened_to_the_greatest_length_and_others_are_left_alone() -> None:
    rows = np.array([[3, 4], [0.3, 0.4], [np.nan, 1], [30, 40]], np.float32)
    assert cut_rows(rows, np.array([0, 1, 2]), 2.5) == 1
    np.testing.assert_allclose(rows, [[1.5, 2], [0.3, 0.4], [np.nan, 1], [30, 40]], rtol=1e-6)


def test_no_vector_of_the_tower_that_is_trained_outgrows_its_greatest_length() -> None:
    def longest(**lengths: float) -> tuple[float, int]:
        model, settings = replace(MODEL, optimizer="sgd"), replace(TOWER, learning_rate_sgd=1.0, **lengths)
        stream = TowerStream(model, settings)
        for n in range(30):
            stream.accept(TowerInput(InputKind.ITEM, orjson.dumps({"item_id": f"i{n}"})))
        for result in views([n * HOUR for n in range(64)], item_table(), model):
            stream.accept(TowerInput(InputKind.EXAMPLE, result.example_blob))
        rows = stream.tower.rows
        return float(np.linalg.norm(rows.vectors[: rows.n], axis=1).max()), stream.tower.clipped_rows

    free, none = longest()
    assert none == 0
    for lengths in ({"norm_max": free / 2}, {"gradient_max": free / 100}):
        held, clipped = longest(**lengths)
        assert clipped > 0
        assert held <= free / 2 * (1 + 1e-6)
