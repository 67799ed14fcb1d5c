"""The publish gate on streams that are what they should be, and on ones that are not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from worlds import MODEL, TOWER, example, example_input, feed, item_input

from models.examples import Example
from models.gate import ENOUGH, LEAST, WINDOW, PublishGate, ranked_above
from models.publishing import SnapshotBase, delta_since, full_snapshot
from models.settings import TowerSettings
from models.snapshots import SnapshotRows
from models.tower_stream import TowerStream

PUBLISH_EVERY = 2_000  # examples: with one of EVERY batches scored, a whole WINDOW
MARGIN = TowerSettings().gate_margin
SETTINGS = replace(TOWER, negatives=20, batch=4)
ITEMS = tuple(f"i{n}" for n in range(40))


class Watched:
    """A stream whose every publication asks the gate, and what it answered."""

    def __init__(self, settings: TowerSettings = SETTINGS, margin: float = MARGIN) -> None:
        self.stream = TowerStream(MODEL, settings)
        feed(self.stream, [item_input(item_id) for item_id in ITEMS])
        self.gate = PublishGate(margin)
        self.stream.watch = self.gate.watch
        self.withheld: list[bool] = []
        self.base: SnapshotBase | None = None
        self.publish()

    def publish(self) -> SnapshotRows:
        tower = self.stream.tower
        made = delta_since(tower, self.base, 0, 0) if self.base is not None else None
        rows, self.base = made or full_snapshot(tower, 0, 0)
        self.gate.note_published(rows, tower.numbering)
        return rows

    def live(self, examples: int, made: Callable[[int], Example], first: int = 0) -> list[bool]:
        """Learn examples and publish, unless that is withheld; returns the gate's answers."""
        answers = []
        for n in range(first, first + examples):
            feed(self.stream, [example_input(made(n))])
            if (n + 1) % PUBLISH_EVERY == 0:
                answers.append(self.gate.withholds(self.stream.tower.numbering))
                if not answers[-1]:
                    self.publish()
        return answers


def told_by_taste(n: int, seed: int = 0, *, noise: float = 0.3) -> Example:
    """Ten tastes of four items; a user's recent item tells the next one's taste, but for a share of `noise`."""
    rng = np.random.default_rng((seed, n))
    taste = int(rng.integers(10))
    item, recent = (ITEMS[4 * taste + int(rng.integers(4))] for _ in range(2))
    if rng.random() < noise:
        item = ITEMS[int(rng.integers(40))]
    made = example(f"u{n}", item, recent=[recent], consumed=[recent], seed=n)
    return replace(made, embedding=np.zeros(8, np.float32), recent_weights=np.ones(1, np.float32))


def told_by_nothing(n: int, seed: int = 0) -> Example:
    """There is nothing to learn but noise, of the users' embeddings too."""
    rng = np.random.default_rng((seed, n))
    return example(f"u{n}", ITEMS[int(rng.integers(40))], recent=[ITEMS[int(rng.integers(40))]], seed=n)


def told_by_bursts(n: int, seed: int = 0) -> Example:
    """The taste that users want changes every 300 examples."""
    return replace(told_by_taste(10_000 * (n // 300) + n % 3, seed), user=n)


@pytest.mark.parametrize(("made", "seed"), [(told_by_taste, 0), (told_by_nothing, 1), (told_by_bursts, 2)])
def test_a_healthy_stream_is_never_withheld(made: Callable[[int, int], Example], seed: int) -> None:
    watched = Watched(replace(SETTINGS, seed=seed))
    assert watched.live(4 * PUBLISH_EVERY, lambda n: made(n, seed)) == 4 * [False]
    assert watched.gate.scored == WINDOW


@pytest.mark.parametrize(("rate", "noise"), [(50.0, 0.3), (50.0, 0.6)])
def test_a_tower_that_learns_noise_far_too_fast_is_withheld(rate: float, noise: float) -> None:
    watched = Watched()
    assert not any(watched.live(2 * PUBLISH_EVERY, told_by_taste))
    watched.stream.settings = watched.stream.tower.settings = replace(SETTINGS, learning_rate=rate)
    assert watched.live(PUBLISH_EVERY, lambda n: told_by_taste(n, noise=noise), first=2 * PUBLISH_EVERY) == [True]


@pytest.mark.parametrize("poison", [np.nan, 0.0])
def test_vectors_that_lost_what_they_held_are_withheld(poison: float) -> None:
    watched = Watched()
    watched.live(2 * PUBLISH_EVERY, told_by_taste)
    spoiled = replace(SETTINGS, learning_rate=0.0, learning_rate_bias=0.0)
    watched.stream.settings = watched.stream.tower.settings = spoiled
    watched.stream.tower.rows.vectors[:] = poison
    assert watched.live(PUBLISH_EVERY, told_by_taste, first=2 * PUBLISH_EVERY) == [True]


def test_a_margin_of_0_publishes_everything() -> None:
    watched = Watched(margin=0)
    watched.stream.tower.rows.vectors[:] = np.nan
    assert watched.live(PUBLISH_EVERY, told_by_taste) == [False]


def test_renumbered_rows_cannot_be_compared_and_pass() -> None:
    watched = Watched()
    watched.live(2 * PUBLISH_EVERY, told_by_taste)
    watched.gate._differences[:] = 1
    assert watched.gate.withholds(watched.stream.tower.numbering)
    assert not watched.gate.withholds(watched.stream.tower.numbering + 1)


def test_rescaled_counts_do_not_open_the_gate() -> None:
    watched = Watched(replace(SETTINGS, half_lives=(2.0, 1_000.0)))  # 2^930 after 1,860 events
    watched.live(PUBLISH_EVERY, told_by_taste)
    generation = watched.stream.tower.generation
    watched.stream.settings = watched.stream.tower.settings = replace(
        watched.stream.settings, learning_rate=0.0, learning_rate_bias=0.0
    )
    watched.stream.tower.rows.vectors[:] = np.nan
    assert watched.live(PUBLISH_EVERY, told_by_taste, first=PUBLISH_EVERY) == [True]
    assert watched.stream.tower.generation > generation


@pytest.mark.parametrize(
    ("differences", "withheld"),
    [
        (ENOUGH * [0.0] + ENOUGH * [1.0], True),
        ((ENOUGH - 1) * [0.5], False),  # too few
        (ENOUGH * [0.5], True),
        (ENOUGH * [LEAST - 1e-6], False),  # certain, and not worth it
        (ENOUGH * [LEAST + 1e-6], True),
        (75 * [-1.0] + 100 * [1.0], False),  # mean 0.143, standard error 0.075
        (60 * [-1.0] + 115 * [1.0], True),  # mean 0.314, standard error 0.072
        (WINDOW * [1.0] + WINDOW * [0.0], False),  # the newest count
    ],
)
def test_what_withholds_is_a_mean_worse_by_more_than_three_standard_errors(
    differences: list[float], withheld: bool
) -> None:
    gate = PublishGate(3.0)
    gate._numbering = 0
    for difference in differences:
        gate._add(difference)
    assert gate.withholds(0) is withheld


def test_the_share_ranked_above_is_that_of_a_loop_over_doubles() -> None:
    rng = np.random.default_rng(5)
    n, k, b, s, f = 12, 4, 6, 7, 2
    vectors, biases = rng.normal(size=(n, k)).astype(np.float32), rng.normal(size=n).astype(np.float32)
    counts, unit = rng.random((n, f)) * 9, np.array([1.5, 3.0])
    alpha, gamma = rng.random((7, f)).astype(np.float32), rng.random(7).astype(np.float32)
    embedding, weights = rng.normal(size=(b, k)).astype(np.float32), rng.random((b, 3)).astype(np.float32)
    recent, activity = rng.integers(-1, n, (b, 3)), rng.integers(0, 7, b)
    positive, negatives = rng.integers(0, n, b), rng.integers(-1, n, (b, s))
    positive[2], negatives[3] = -1, -1
    vectors[positive[4]] = np.nan
    expected = []
    for e in range(b):
        h = embedding[e].astype(float)
        for position in range(3):
            if recent[e, position] >= 0:
                h = h + float(weights[e, position]) * vectors[recent[e, position]]

        def score(row: int, h: np.ndarray = h, a: int = int(activity[e])) -> float:
            logs = np.log(counts[row] / unit + 0.01)
            return float(gamma[a]) * float(vectors[row] @ h) + float(biases[row]) + float(alpha[a] @ logs)

        rivals = [row for row in negatives[e].tolist() if row >= 0]
        above = [not score(positive[e]) > score(row) for row in rivals]
        expected.append(np.nan if positive[e] < 0 or not rivals else sum(above) / len(rivals))
    got = ranked_above(
        vectors, biases, counts, unit, 0.01, alpha, gamma, embedding, weights, recent, activity, positive, negatives
    )
    np.testing.assert_allclose(got, expected)
    assert got[4] == 1
