"""The tower's stream of inputs: where batches close, what is replayed, and that the same inputs give the same tower."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from worlds import BORDER, MODEL, TOWER, erasure_input, example, example_input, feed, item_input, tower_inputs

from models.examples import InvalidExample, decode_example
from models.hashing import hash_id
from models.item_tower import Batch, ItemTower
from models.publishing import full_snapshot
from models.records import InvalidRecord
from models.settings import TowerSettings
from models.snapshots import encode_snapshot
from models.tower_stream import InputKind, InvalidInput, Shed, TowerInput, TowerStream, decode_input, encode_input


def snapshot(stream: TowerStream) -> bytes:
    return encode_snapshot(full_snapshot(stream.tower, 0, stream.trained)[0])


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Batch, int]]:
    """Every batch that a tower learns from here on, and its number of negatives."""
    seen: list[tuple[Batch, int]] = []
    learn = ItemTower.learn

    def learn_and_tell(self: ItemTower, batch: Batch, stream: int, n_negatives: int) -> None:
        seen.append((batch, n_negatives))
        learn(self, batch, stream, n_negatives)

    monkeypatch.setattr(ItemTower, "learn", learn_and_tell)
    return seen


def examples(n: int, **changed: Any) -> list[TowerInput]:
    return [example_input(example(f"u{at % 7}", f"i{at % 20}", seed=at), **changed) for at in range(n)]


def small(**changed: Any) -> TowerStream:
    return TowerStream(MODEL, replace(TOWER, **changed))


# ---- determinism ---------------------------------------------------------------------------------


def test_the_same_inputs_give_the_same_bytes() -> None:
    inputs = tower_inputs(400)
    one, other = (feed(TowerStream(MODEL, TOWER), inputs) for _ in range(2))
    assert snapshot(one) == snapshot(other)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"replays": 0}, {"batch": 9}, {"negatives": 7}], ids=str)
def test_another_setting_gives_other_bytes(changed: dict) -> None:
    inputs = tower_inputs(200)
    assert snapshot(feed(TowerStream(MODEL, TOWER), inputs)) != snapshot(feed(small(**changed), inputs))


# ---- erasures ----------------------------------------------------------------------------------


def test_an_erased_user_is_neither_learned_from_the_unfinished_batch_nor_replayed(batches: list) -> None:
    stream = small(batch=8, replays=2, replay_window=64)
    feed(stream, examples(12))  # u0 to u6 in turn: the second batch has u1 to u4 so far
    assert stream.accept(erasure_input("u2")) is False
    assert stream.unfinished == 3
    learned = len(batches)
    feed(stream, [entry for entry in examples(60)[12:] if decode_example(entry.payload).user != hash_id("u2")])
    theirs = {decode_example(entry.payload).embedding.tobytes() for entry in examples(12)[2::7]}
    for batch, _ in batches[learned:]:
        assert not theirs & {embedding.tobytes() for embedding in batch.embedding}
    assert batches[learned][0].n_new == 8


def test_an_erased_user_may_come_again(batches: list) -> None:
    stream = feed(small(batch=4, replays=1), [*examples(9), erasure_input("u1"), BORDER, *examples(8), BORDER])
    assert hash_id("u1") in stream.window._latest
    assert stream.unfinished == 0


def test_the_erasure_of_somebody_unknown_takes_a_number_and_no_more() -> None:
    inputs = tower_inputs(100)
    one, other = feed(small(), inputs), feed(small(), inputs)
    other.accept(erasure_input("nobody"))
    assert snapshot(one) == snapshot(other)
    assert other.number == one.number + 1


# ---- borders -------------------------------------------------------------------------------------


def test_a_batch_closes_with_its_last_example_whatever_comes_between(batches: list) -> None:
    stream = small(batch=3, replays=0)
    inputs = examples(7)
    inputs.insert(1, item_input("i1"))
    inputs.insert(4, item_input("i2"))
    assert [stream.accept(entry) for entry in inputs] == [False, False, False, True, False, False, False, True, False]
    assert [batch.n_new for batch, _ in batches] == [3, 3]
    assert (stream.number, stream.trained, stream.unfinished) == (9, 6, 1)


def test_a_border_closes_an_unfinished_batch(batches: list) -> None:
    stream = feed(small(batch=4, replays=0), [*examples(6), BORDER])
    assert [batch.n_new for batch, _ in batches] == [4, 2]
    assert (stream.unfinished, stream.trained) == (0, 6)


def test_a_border_without_examples_trains_nothing_and_takes_a_number(batches: list) -> None:
    stream = feed(small(), [BORDER, BORDER])
    assert batches == []
    assert (stream.number, stream.trained) == (2, 0)


def test_as_many_old_examples_are_replayed_as_there_are_new_ones_and_all_from_the_window(batches: list) -> None:
    feed(small(batch=4, replays=2, replay_window=16), examples(60))
    for n, (batch, _) in enumerate(batches):
        assert (batch.n_new, len(batch.positive)) == (4, 12)
        came = {example(f"u{at % 7}", f"i{at % 20}", seed=at).embedding.tobytes(): at for at in range(60)}
        replayed = {came[embedding.tobytes()] for embedding in batch.embedding[4:]}
        assert replayed <= set(range(max(0, 4 * n + 4 - 16), 4 * n + 4))


def test_the_replay_window_forgets_when_other_inputs_come_too(batches: list) -> None:
    items = [item_input(f"new {n}") for n in range(15)]
    feed(small(batch=4, replay_window=16), [*examples(4), *items, *examples(8)[4:]])
    batch, _ = batches[-1]
    fresh = {e.tobytes() for e in batch.embedding[:4]}
    assert {e.tobytes() for e in batch.embedding[4:]} <= fresh  # the first four left the window of 16 inputs


def test_a_shed_batch_uses_fewer_negatives_and_is_counted(batches: list) -> None:
    stream = feed(small(batch=4), [*examples(4), *examples(4, shed=True), *examples(4)])
    assert [n_negatives for _, n_negatives in batches] == [8, 2, 8]
    assert stream.shed_batches == 1


def test_without_replays_a_batch_has_its_new_examples_and_fewer_negatives(batches: list) -> None:
    stream = feed(small(batch=4), [*examples(4), *examples(4, shed=Shed.REPLAY), *examples(4)])
    assert [(batch.n_new, len(batch.positive), n_negatives) for batch, n_negatives in batches] == [
        (4, 8, 8),
        (4, 4, 2),
        (4, 8, 8),
    ]
    assert (stream.shed_batches, stream.shed_negatives, stream.shed_replay, stream.shed_sampled) == (1, 0, 1, 0)


@pytest.mark.parametrize(("shed", "one_of"), [(Shed.HALF, 2), (Shed.QUARTER, 4), (Shed.TENTH, 10)])
def test_one_of_so_many_examples_is_learned_and_the_others_count_for_popularity(
    batches: list, shed: Shed, one_of: int
) -> None:
    stream = feed(small(batch=40, replays=0, half_lives=(1e12, 1e12)), examples(4_000, shed=shed))
    learned = sum(batch.n_new for batch, _ in batches)
    assert abs(learned - 4_000 / one_of) < 4 * (4_000 / one_of) ** 0.5
    assert (stream.trained, stream.shed_sampled) == (learned, 4_000 - learned)
    tower = stream.tower
    np.testing.assert_allclose(tower.rows.counts[: tower.n_items] / tower.unit, 200, rtol=1e-6)  # 4,000 of 20 items
    assert tower.rows.events[: tower.n_items].tolist() == 20 * [200]


def test_a_batch_of_examples_that_were_all_left_out_teaches_nothing_and_is_counted(batches: list) -> None:
    stream = small(batch=3)
    number = 0
    while stream.number < 300:  # some three in a row are left out
        feed(stream, examples(1, shed=Shed.TENTH))
        number += 1
    assert len(batches) < 100
    assert stream.shed_sampled + stream.trained == 300
    assert stream.tower.rows.events.sum() == 300


def test_the_same_examples_are_left_out_again() -> None:
    inputs = examples(200, shed=Shed.QUARTER)
    assert snapshot(feed(small(), inputs)) == snapshot(feed(small(), inputs))


def test_the_content_tower_is_fitted_every_so_many_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []
    stream = small(batch=8, content_every=20)
    monkeypatch.setattr(stream.tower, "fit_content", lambda: fits.append(stream.trained))
    feed(stream, examples(64))
    assert fits == [24, 40, 64]


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (TowerInput(InputKind.EXAMPLE, b"LTX1"), InvalidExample),
        (example_input(replace(example(), embedding=np.zeros(9, np.float32))), InvalidExample),
        (TowerInput(InputKind.ITEM, b"{}"), InvalidRecord),
    ],
    ids=["no example", "another dimension", "no item"],
)
def test_an_input_that_cannot_be_read_changes_nothing(bad: TowerInput, error: type[Exception]) -> None:
    inputs = tower_inputs(60)
    stream, undisturbed = TowerStream(MODEL, TOWER), TowerStream(MODEL, TOWER)
    for entry in inputs:
        with pytest.raises(error):
            stream.accept(bad)
        stream.accept(entry)
        undisturbed.accept(entry)
    assert stream.number == 60
    assert snapshot(stream) == snapshot(undisturbed)


def test_an_input_comes_back_from_its_log_entry() -> None:
    for entry in (example_input(example(), shed=True), item_input("i1"), BORDER):
        assert decode_input(encode_input(2**40, entry)) == (2**40, entry)


def test_a_log_entry_is_laid_out_as_documented() -> None:
    entry = TowerInput(InputKind.ITEM, b"{}", shed=True)
    assert encode_input(258, entry) == b"LTI1" + b"\2\1\0\0\0\0\0\0" + b"\2" + b"\1" + b"{}"


@pytest.mark.parametrize("bad", [b"", b"LTI1", b"LTI2" + bytes(20), b"LTI1" + bytes(8) + b"\x09\0"])
def test_bytes_that_are_no_log_entry_are_refused(bad: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_input(bad)


def test_the_defaults_are_the_recipe() -> None:
    settings = TowerSettings()
    assert (settings.batch, settings.replays, settings.negatives, settings.replay_window) == (32, 1, 100, 20_000)
    assert (settings.learning_rate, settings.learning_rate_bias, settings.regularisation) == (0.15, 0.1, 0.001)
