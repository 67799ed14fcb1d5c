"""The ring from which examples are replayed."""

from dataclasses import replace

import numpy as np
from worlds import example

from models.examples import Example, fingerprints
from models.hashing import hash_id
from models.replay_window import ReplayWindow


def window(size: int = 4) -> ReplayWindow:
    return ReplayWindow(size, dimension=8, n_recent=3)


def filled(numbers: list[int], size: int = 4) -> tuple[ReplayWindow, list[Example]]:
    """Examples that came as these inputs, each of a user of its own."""
    ring, examples = window(size), []
    for number in numbers:
        examples.append(
            example(f"u{number}", f"i{number}", recent=["a", "b"][: number % 3], consumed=["c"], seed=number)
        )
        ring.append(examples[-1], number)
    return ring, examples


def test_a_batch_holds_the_examples_of_its_indices_new_ones_first() -> None:
    ring, examples = filled([1, 2, 3])
    batch = ring.batch(np.array([2]), np.array([0, 1]))
    order = [examples[2], examples[0], examples[1]]
    assert batch.n_new == 1
    assert batch.positive.tolist() == [e.positive for e in order]
    assert batch.activity.tolist() == [e.activity for e in order]
    assert batch.weight.tolist() == [e.weight for e in order]
    assert batch.target.tolist() == [e.target for e in order]
    assert batch.rated.tolist() == [e.rated for e in order]
    assert np.array_equal(batch.embedding, np.stack([e.embedding for e in order]))
    for row, e in enumerate(order):
        n = len(e.recent)
        assert batch.recent[row, :n].tolist() == e.recent.tolist()
        assert batch.recent_weights[row].tolist() == [*e.recent_weights.tolist(), *[0] * (3 - n)]


def test_the_window_forgets_by_the_numbers_of_inputs_not_of_examples() -> None:
    ring, _ = filled([1, 2, 7])
    assert (ring.first, ring.end) == (2, 3)  # input 7 minus 4: inputs 1 and 2 are gone
    ring.forget(10)
    assert (ring.first, ring.end) == (2, 3)
    ring.forget(11)
    assert (ring.first, ring.end) == (3, 3)


def test_the_ring_goes_round_without_mixing_examples_up() -> None:
    ring, examples = filled(list(range(1, 11)))
    assert (ring.first, ring.end) == (6, 10)
    assert ring.positives(np.arange(6, 10)).tolist() == [e.positive for e in examples[6:]]


def test_a_replayed_example_uses_what_its_user_has_consumed_since() -> None:
    ring = window()
    ring.append(example("u", "i1", consumed=["a"]), 1)
    ring.append(example("v", "i2", consumed=["b", "c", "d"]), 2)
    ring.append(example("u", "i3", consumed=["a", "i1"]), 3)
    batch = ring.batch(np.array([2]), np.array([0, 1]))
    of_u = fingerprints(np.array([hash_id("a"), hash_id("i1")])).tolist()
    assert batch.consumed_end.tolist() == [2, 4, 7]
    assert batch.consumed.tolist()[:4] == of_u + of_u


def test_a_batch_tells_ratings_from_other_events() -> None:
    ring = window()
    ring.append(replace(example(), target=-1.5, rated=True), 1)
    ring.append(replace(example(), weight=-0.5, target=-1.0), 2)
    batch = ring.batch(np.array([0, 1]), np.zeros(0, np.int64))
    assert (batch.weight.tolist(), batch.target.tolist(), batch.rated.tolist()) == (
        [1, -0.5],
        [-1.5, -1],
        [True, False],
    )


def test_explicit_negatives_are_no_positives() -> None:
    ring = window()
    ring.append(example(item="i1"), 1)
    ring.append(replace(example(item="i2"), weight=-1.0), 2)
    ring.append(example(item="i3"), 3)
    assert ring.positives(np.arange(3)).tolist() == [hash_id("i1"), hash_id("i3")]


def test_more_recent_items_than_the_window_keeps_are_cut_to_the_newest() -> None:
    ring = window()
    ring.append(example(recent=["a", "b", "c", "d"]), 1)
    batch = ring.batch(np.array([0]), np.zeros(0, np.int64))
    assert batch.recent[0].tolist() == [hash_id(name) for name in "abc"]


def contents(ring: ReplayWindow) -> list[object]:
    """What a batch of the whole window, and its lists of neighbours, are made from."""
    batch = ring.batch(np.empty(0, np.int64), np.arange(ring.first, ring.end))
    arrays = [getattr(batch, name) for name in batch.__slots__ if name != "n_new"]
    return [array.tobytes() for array in [*arrays, *ring.transitions()]]


def test_a_window_without_an_erased_user_is_one_that_never_held_them() -> None:
    made = [example(f"u{n % 3}", f"i{n}", recent=["a"], consumed=[f"i{n}"], seed=n) for n in range(9)]
    for start in (0, 3):  # the ring has gone round once with 3
        ring, clean = window(6), window(6)
        for n in range(start + 6):
            ring.append(made[n], n + 1)
            if n % 3 != 1:
                clean.append(made[n], n + 1)
        clean.forget(start + 6)
        assert ring.erase(made[1].user, ring.end - 1) == ring.first + 3  # one of the two that left lay behind the index
        assert ring.end - ring.first == 4
        assert contents(ring) == contents(clean)
        for each in (ring, clean):
            each.append(example("u1", "again", seed=99), start + 7)
        assert contents(ring) == contents(clean)


def test_nothing_of_an_erased_user_stays_in_the_arrays() -> None:
    ring, examples = filled([1, 2, 3, 4])
    for each in examples:
        ring.erase(each.user, ring.end)
    assert (ring.first, ring.end) == (0, 0)
    for array in ring._arrays():
        assert not array.any()
