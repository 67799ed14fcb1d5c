"""How a list is made: score every available item, keep the best, say what a score is made of.

    s_i = sum of the parts that `strategies.py` names, weighted
    h   = p + sum_l a_l q_{j_l}                        p: the user embedding, j_l: the l-th latest item
    n_i : how near the item is to the recent items by what users consumed together, `neighbours.py`
    z_i : the vector that the item's contents predict, `content_tower.py`
    e_i = exploration / sqrt(1 + events of i)          at most `exploration`; after the bonus of UCB1 (Auer et al. 2002)

Exact, by a full scan: at 10,000 items of dimension 64 that is 0.64 M multiplications. Ties break by row. An item whose
score is NaN is never listed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.item_table import TableArrays, find_rows
from models.kernels import kernel, part
from models.learning import Floats, Ints, context_vector, fading_weights, mark_consumed, unmark
from models.neighbours import add_closeness, clear_closeness, nearness

Doubles = NDArray[np.float64]


class Viewer(NamedTuple):
    """Whom a list is for, as the kernels read it. R recent items, H items that must not be listed."""

    embedding: Floats  # (k,)
    recent: Ints  # (R,) hashes, newest first
    recent_ms: Ints  # (R,)
    hidden: Ints  # (H,) hashes
    now_ms: int


class Taken(NamedTuple):
    """What the score takes from the settings, the strategy and the user's class."""

    weights: Floats  # (7,) strategies.PARTS
    popularity: Floats  # (I,) pop_c
    gamma: float
    beta: float
    exploration: float
    rho: float
    tau_s: float


@part
def _score_rows(
    viewer: Viewer, taken: Taken, table: TableArrays, recent_rows: Ints, recent_weights: Floats, scores: Floats
) -> None:
    """Fill scores (I,), NaN where an item must not be listed, and `table.closeness` (I,), which the caller clears."""
    k = len(viewer.embedding)
    w_taste, w_recent, w_popularity, w_bias = taken.weights[0], taken.weights[1], taken.weights[2], taken.weights[3]
    w_neighbours, w_content, w_exploration = taken.weights[4], taken.weights[5], taken.weights[6]
    gamma = np.float32(taken.gamma)
    context = context_vector(recent_rows, recent_weights, table.vectors)
    hidden = np.empty(k, np.float32)
    for d in range(k):
        hidden[d] = gamma * (w_taste * viewer.embedding[d] + w_recent * context[d])
    has_model = w_taste != 0 or w_recent != 0
    bonus = w_exploration * np.float32(taken.exploration)
    has_neighbours = w_neighbours != 0 and taken.beta != 0
    if has_neighbours:
        add_closeness(recent_rows, recent_weights, table.neighbour_rows, table.neighbour_weights, table.closeness)
    marked = mark_consumed(viewer.hidden, table.slots, table.hashes, table.marked)
    # One plain loop over all rows: a test for what may be listed inside of it costs more than the products it saves.
    for row in range(len(scores)):
        score = w_bias * table.biases[row] + w_popularity * taken.popularity[row]
        if has_model:
            for d in range(k):
                score += table.vectors[row, d] * hidden[d]
        scores[row] = score
    if has_neighbours:
        for row in range(len(scores)):
            if table.closeness[row] > 0:
                scores[row] += w_neighbours * taken.beta * nearness(table.closeness[row])
    if bonus != 0:
        for row in range(len(scores)):
            scores[row] += bonus * table.novelty[row]
    if w_content != 0 and table.content.shape[1] == k:
        for d in range(k):
            hidden[d] = gamma * w_content * (viewer.embedding[d] + context[d])
        for row in range(len(scores)):
            for d in range(k):
                scores[row] += table.content[row, d] * hidden[d]
    for row in range(len(scores)):
        if table.marked[row] or not table.available[row]:
            scores[row] = np.nan
    unmark(marked, table.marked)


@part
def _best(scores: Floats, category: NDArray[np.int32], cap: int, n_best: int) -> Ints:
    """Rows of the best items (<= n_best,), best first, at most `cap` of one category; 0: no cap, -1: no category."""
    best = np.empty(n_best + 1, np.float32)
    rows = np.empty(n_best + 1, np.int64)
    n = 0
    for row in range(len(scores)):
        score = scores[row]
        if np.isnan(score) or (n == n_best and score <= best[n - 1]):
            continue
        if cap > 0 and category[row] >= 0:
            same, last = 0, -1
            for place in range(n):
                if category[rows[place]] == category[row]:
                    same += 1
                    last = place
            if same >= cap:
                if score <= best[last]:
                    continue
                for place in range(last, n - 1):  # the category's last one gives way
                    best[place], rows[place] = best[place + 1], rows[place + 1]
                n -= 1
        place = n
        while place > 0 and best[place - 1] < score:
            best[place] = best[place - 1]
            rows[place] = rows[place - 1]
            place -= 1
        best[place] = score
        rows[place] = row
        n = min(n + 1, n_best)
    return rows[:n].copy()


@part
def _explain(
    viewer: Viewer,
    taken: Taken,
    table: TableArrays,
    recent_rows: Ints,
    recent_weights: Floats,
    rows: Ints,
    scores: Floats,
) -> tuple[Doubles, Ints]:
    """For each listed row (T,): score and parts (T,8), and the row of the recent item that raised it most, or -1."""
    n, k = len(rows), len(viewer.embedding)
    gamma = np.float32(taken.gamma)
    parts = np.zeros((n, 8), np.float64)
    because = np.full(n, -1, np.int64)
    raised = np.zeros((n, len(recent_rows)), np.float32)  # by each recent item
    for t in range(n):
        table.place[rows[t]] = t
        if table.closeness[rows[t]] > 0:
            parts[t, 5] = taken.weights[4] * taken.beta * nearness(table.closeness[rows[t]])
    for position in range(len(recent_rows)):
        j = recent_rows[position]
        if j < 0:
            continue
        for t in range(n):
            dot = np.float32(0)
            for d in range(k):
                dot += table.vectors[j, d] * table.vectors[rows[t], d]
            raised[t, position] = gamma * taken.weights[1] * recent_weights[position] * dot
            parts[t, 2] += raised[t, position]
        if taken.weights[4] == 0 or taken.beta == 0:
            continue
        for m in range(table.neighbour_rows.shape[1]):
            row = table.neighbour_rows[j, m]
            if row < 0:
                break
            t = table.place[row]
            if t >= 0 and table.closeness[row] > 0:  # the item's share of the neighbours' part
                share = recent_weights[position] * table.neighbour_weights[j, m] / table.closeness[row]
                raised[t, position] += share * parts[t, 5]
    for t in range(n):
        row = rows[t]
        table.place[row] = -1
        taste, content = np.float32(0), np.float32(0)
        for d in range(k):
            taste += viewer.embedding[d] * table.vectors[row, d]
        if taken.weights[5] != 0 and table.content.shape[1] == k:
            for d in range(k):
                content += viewer.embedding[d] * table.content[row, d]
            for position in range(len(recent_rows)):
                j = recent_rows[position]
                if j >= 0:
                    dot = np.float32(0)
                    for d in range(k):
                        dot += table.vectors[j, d] * table.content[row, d]
                    content += recent_weights[position] * dot
                    raised[t, position] += gamma * taken.weights[5] * recent_weights[position] * dot
        parts[t, 0] = scores[row]
        parts[t, 1] = gamma * taken.weights[0] * taste
        parts[t, 3] = taken.weights[2] * taken.popularity[row]
        parts[t, 4] = taken.weights[3] * table.biases[row]
        parts[t, 6] = gamma * taken.weights[5] * content
        parts[t, 7] = taken.weights[6] * np.float32(taken.exploration) * table.novelty[row]
        most = np.float32(0)
        for position in range(len(recent_rows)):
            if raised[t, position] > most:
                most = raised[t, position]
                because[t] = recent_rows[position]
    return parts, because


@part
def rank_items(
    viewer: Viewer, taken: Taken, table: TableArrays, n_best: int, category_cap: int
) -> tuple[Ints, Doubles, Ints]:
    """A user's list: rows (T,) best first, their score and parts (T,8) in the order of strategies.PARTS, because (T,).

    The scratch arrays of the table are as before when it returns.
    """
    recent_rows = find_rows(table.slots, table.hashes, viewer.recent)
    recent_weights = fading_weights(viewer.recent_ms, viewer.now_ms, taken.rho, taken.tau_s)
    scores = np.empty(len(table.biases), np.float32)
    _score_rows(viewer, taken, table, recent_rows, recent_weights, scores)
    rows = _best(scores, table.category, category_cap, n_best)
    parts, because = _explain(viewer, taken, table, recent_rows, recent_weights, rows, scores)
    clear_closeness(recent_rows, table.neighbour_rows, table.closeness)
    return rows, parts, because


@kernel
def rank_for_user(
    viewer: Viewer, taken: Taken, table: TableArrays, n_best: int, category_cap: int
) -> tuple[Ints, Doubles, Ints]:
    """`rank_items` for Python."""
    listed: tuple[Ints, Doubles, Ints] = rank_items(viewer, taken, table, n_best, category_cap)
    return listed


@kernel
def score_for_user(viewer: Viewer, taken: Taken, table: TableArrays) -> Floats:
    """The scores (I,) that `rank_for_user` orders; NaN where an item must not be listed."""
    recent_rows = find_rows(table.slots, table.hashes, viewer.recent)
    recent_weights = fading_weights(viewer.recent_ms, viewer.now_ms, taken.rho, taken.tau_s)
    scores = np.empty(len(table.biases), np.float32)
    _score_rows(viewer, taken, table, recent_rows, recent_weights, scores)
    clear_closeness(recent_rows, table.neighbour_rows, table.closeness)
    return scores
