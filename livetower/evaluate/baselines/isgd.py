"""Incremental matrix factorisation for positive-only feedback: ISGD (Vinagre, Jorge, Gama 2014, "Fast incremental
matrix factorization for recommendation with positive-only feedback", algorithm 2), and with recency-based negative
feedback RAISGD (the same authors 2015, "Collaborative filtering with recency-based negative feedback", algorithm 2).

    score_i = p_u . q_i
    at (u, i):  err = 1 - p_u . q_i,  p_u <- p_u + lr (err q_i - reg p_u),  q_i <- q_i + lr (err p_u - reg q_i)
    RAISGD:     before that, the same steps towards 0 for the n_zeros items met longest ago; they go to the end of the
                queue, and i after them
"""

import numpy as np

from livetower.evaluate.baselines.history import Doubles, products, rank_for_event
from livetower.evaluate.columns import Columns
from models.kernels import kernel, part
from models.learning import Ints


def raisgd_ranks(columns: Columns) -> Ints:
    """Rank (n,) of each event by RAISGD with settings chosen on the first 40% of a stream."""
    return isgd_ranks(columns, dimension=50, learning_rate=0.1, regularisation=0.03, n_zeros=5)


def isgd_ranks(
    columns: Columns,
    *,
    dimension: int = 10,
    learning_rate: float = 0.05,
    regularisation: float = 0.01,
    n_zeros: int = 0,
    seed: int = 0,
) -> Ints:
    """Rank (n,) of each event; vectors start at N(0, .1^2). With n_zeros > 0 it is RAISGD."""
    rng = np.random.default_rng(seed)
    users = rng.normal(0, 0.1, (columns.n_users, dimension))
    items = rng.normal(0, 0.1, (columns.n_items, dimension))
    ranks: Ints = _ranks(
        columns.user, columns.item, columns.previous, users, items, learning_rate, regularisation, n_zeros
    )
    return ranks


@kernel
def _ranks(
    user: Ints,
    item: Ints,
    previous: Ints,
    users: Doubles,
    items: Doubles,
    learning_rate: float,
    regularisation: float,
    n_zeros: int,
) -> Ints:
    n_items = len(items)
    ranks = np.zeros(len(user), np.int64)
    marked = np.zeros(n_items, np.bool_)
    after, before = np.full(n_items + 1, -1, np.int64), np.full(n_items + 1, -1, np.int64)
    after[n_items] = before[n_items] = n_items  # the queue: a ring through this place, oldest first
    n_seen = 0
    for event in range(len(user)):
        p, q = users[user[event]], items[item[event]]
        if previous[event] >= 0:
            ranks[event] = rank_for_event(products(items, p), n_seen, event, item, previous, marked)
        for _ in range(min(n_zeros, n_seen)):
            old = after[n_items]
            _step(p, items[old], 0.0, learning_rate, regularisation)
            _to_the_end(old, after, before)
        _step(p, q, 1.0, learning_rate, regularisation)
        _to_the_end(item[event], after, before)
        n_seen = max(n_seen, item[event] + 1)
    return ranks


@part
def _step(p: Doubles, q: Doubles, target: float, learning_rate: float, regularisation: float) -> None:
    """One step of both vectors (k,) towards p . q = target, the user's first."""
    error = target - (p * q).sum()
    p += learning_rate * (error * q - regularisation * p)
    q += learning_rate * (error * p - regularisation * q)


@part
def _to_the_end(entry: int, after: Ints, before: Ints) -> None:
    """Move an entry of the queue to its end, or put it there."""
    head = len(after) - 1
    if after[entry] >= 0:
        after[before[entry]], before[after[entry]] = after[entry], before[entry]
    last = before[head]
    after[last], before[entry] = entry, last
    after[entry], before[head] = head, entry
