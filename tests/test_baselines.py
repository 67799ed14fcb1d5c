"""The baselines on streams small enough to work out by hand, and in worlds whose answer is known."""

import math

import numpy as np
import pytest
from worlds import event

from livetower.evaluate.baselines.ease import ease_ranks, ease_weights
from livetower.evaluate.baselines.history import DENSE_ITEMS_MAX
from livetower.evaluate.baselines.isgd import isgd_ranks
from livetower.evaluate.baselines.item_neighbours import item_neighbour_ranks
from livetower.evaluate.baselines.popularity import popularity_ranks
from livetower.evaluate.columns import Columns, columns_of
from livetower.evaluate.errors import EvaluationError
from models.evaluation import MISS
from models.learning import Ints


def columns(*pairs: tuple[str, str]) -> Columns:
    return columns_of([event(n, item, user=user) for n, (user, item) in enumerate(pairs)])


def two_tastes(n_users: int = 60, n_each: int = 12, seed: int = 0) -> Columns:
    """Every user has all items of one of two tastes, in an order of their own."""
    rng = np.random.default_rng(seed)
    pairs = [(f"u{u}", f"{u % 2}-{i}") for u in range(n_users) for i in range(n_each)]
    return columns(*[pairs[at] for at in rng.permutation(len(pairs))])


def late_mean_rank(ranks: Ints) -> float:
    late = ranks[len(ranks) // 2 :]
    return float(np.mean(late[late > 0]))


def test_columns_number_users_and_items_by_first_use_and_know_the_event_before() -> None:
    c = columns(("ann", "x"), ("bob", "x"), ("ann", "y"), ("bob", "z"), ("ann", "z"))
    assert c.user.tolist() == [0, 1, 0, 1, 0]
    assert c.item.tolist() == [0, 0, 1, 2, 2]
    assert c.previous.tolist() == [-1, -1, 0, 1, 2]
    assert (c.n_users, c.n_items) == (2, 3)


def test_popularity_ranks_by_counts_among_what_the_user_has_not_had() -> None:
    c = columns(
        ("ann", "x"), ("bob", "x"), ("ann", "y"), ("bob", "y"), ("cat", "z"), ("ann", "z"), ("dan", "w"), ("bob", "w")
    )
    # ann's y is new: a miss; bob's y is the only one left, so is ann's z; bob's w shares with z: 1 + ceil(1/2)
    assert popularity_ranks(c).tolist() == [0, 0, MISS, 1, 0, 1, 0, 2]


def test_a_half_life_prefers_the_latest() -> None:
    old, new = [(f"a{n}", "old") for n in range(3)], [(f"b{n}", "new") for n in range(2)]
    c = columns(("u", "first"), *old, *new, ("u", "new"))
    assert popularity_ranks(c)[-1] == 2  # 2 events against 3
    # With half-life 1: new 1/2 + 1/4 of a unit against old 1/8 + 1/16 + 1/32.
    assert popularity_ranks(c, 1.0)[-1] == 1


def test_counts_survive_the_growth_of_their_unit() -> None:
    long_ago = [(f"a{n}", "old") for n in range(1_000)]  # with half-life 1 the unit grows to 2^1000
    c = columns(("u", "first"), *long_ago, ("b0", "new"), ("b1", "new"), ("u", "new"))
    assert popularity_ranks(c, 1.0)[-1] == 1


def slow_isgd(c: Columns, k: int, rate: float, reg: float, n_zeros: int, seed: int) -> list[int]:
    """The papers' algorithms as they read, with a list for a queue."""
    rng = np.random.default_rng(seed)
    p, q = rng.normal(0, 0.1, (c.n_users, k)), rng.normal(0, 0.1, (c.n_items, k))
    queue: list[int] = []
    had: dict[int, set[int]] = {}
    ranks = []
    for u, i in zip(c.user.tolist(), c.item.tolist(), strict=True):
        own = had.setdefault(u, set())
        better = sum(q[j] @ p[u] > q[i] @ p[u] for j in queue if j not in own)
        ranks.append(0 if not own else 1 + better if i in queue else MISS)
        zeros, queue = queue[:n_zeros], queue[n_zeros:]
        for j, target in [*[(j, 0.0) for j in zeros], (i, 1.0)]:
            error = target - p[u] @ q[j]
            p[u] += rate * (error * q[j] - reg * p[u])
            q[j] += rate * (error * p[u] - reg * q[j])
        queue = [j for j in queue + zeros if j != i] + [i]
        own.add(i)
    return ranks


@pytest.mark.parametrize("n_zeros", [0, 2])
def test_isgd_and_raisgd_are_the_papers_algorithms(n_zeros: int) -> None:
    c = two_tastes(n_users=20, n_each=6)
    ranks = isgd_ranks(c, dimension=3, learning_rate=0.2, regularisation=0.05, n_zeros=n_zeros, seed=3)
    assert ranks.tolist() == slow_isgd(c, 3, 0.2, 0.05, n_zeros, 3)


@pytest.mark.parametrize("n_zeros", [0, 5])
def test_isgd_learns_two_tastes_and_raisgd_does_so_better_than_popularity(n_zeros: int) -> None:
    world = two_tastes(n_users=200)
    ranks = isgd_ranks(world, learning_rate=0.1, n_zeros=n_zeros)
    assert late_mean_rank(ranks) < 0.8 * late_mean_rank(popularity_ranks(world))


def test_item_neighbours_follow_the_users_latest_item() -> None:
    pairs = [(f"a{n}", i) for n in range(3) for i in ("x", "x2")] + [
        (f"b{n}", i) for n in range(3) for i in ("y", "y2")
    ]
    c = columns(*pairs, ("u", "x"), ("u", "y"), ("u", "y2"))
    # cos(y2, y) = 3 / sqrt(3 * 4) = .87 counts whole; cos(x2, x) = 3 / sqrt(3 * 4) too, but faded
    assert item_neighbour_ranks(c)[-1] == 1
    c = columns(*pairs, ("u", "x"), ("u", "y"), ("u", "x2"))
    assert item_neighbour_ranks(c)[-1] == 2


def test_ease_is_the_ridge_regression_of_each_item_on_all_others() -> None:
    c = two_tastes(n_users=20, n_each=4)
    weights = ease_weights(c, 60, ridge=2.0)
    n_items = c.item[:60].max() + 1
    had = np.zeros((20, n_items))
    had[c.user[:60], c.item[:60]] = 1
    for i in range(n_items):  # argmin |x_i - X b|^2 + ridge |b|^2 with b_i = 0, solved for this item alone
        others = [j for j in range(n_items) if j != i]
        x = had[:, others]
        b = np.linalg.solve(x.T @ x + 2.0 * np.eye(len(others)), x.T @ had[:, i])
        assert weights[others, i] == pytest.approx(b, abs=1e-9)
        assert weights[i, i] == 0


def test_ease_learns_two_tastes() -> None:
    world = two_tastes()
    plain, recency = ease_ranks(world, ridge=10.0)
    assert late_mean_rank(plain) < 0.6 * late_mean_rank(popularity_ranks(world))
    assert late_mean_rank(recency) < 0.6 * late_mean_rank(popularity_ranks(world))


@pytest.mark.parametrize("run", [item_neighbour_ranks, ease_ranks])
def test_too_many_items_for_a_dense_matrix_are_refused(run) -> None:
    n = DENSE_ITEMS_MAX + 1
    numbers = np.arange(n)
    with pytest.raises(EvaluationError, match=f"at most {DENSE_ITEMS_MAX} items were needed; got {n}"):
        run(Columns(numbers, numbers, np.full(n, -1)))


def test_every_baseline_misses_an_unseen_item_and_does_not_score_a_users_first_event() -> None:
    c = columns(("ann", "x"), ("bob", "y"), ("ann", "z"))
    for ranks in (
        popularity_ranks(c),
        popularity_ranks(c, math.e),
        isgd_ranks(c),
        item_neighbour_ranks(c),
        *ease_ranks(c),
    ):
        assert ranks.tolist() == [0, 0, MISS]
