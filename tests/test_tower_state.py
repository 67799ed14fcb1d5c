"""Kill the tower at any input and restore it from its state: it must equal, bit for bit, one that nobody disturbed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from worlds import BORDER, MODEL, TOWER, erasure_input, example, example_input, feed, item_input, tower_inputs

from models import tower_state
from models.erasure import encode_erasure
from models.examples import decode_example
from models.hashing import hash_id
from models.settings import LOSSES, OPTIMIZERS, REPLAY_WINDOW_MAX, ModelSettings, TowerSettings
from models.tower_rows import InvalidBlock, TowerRows
from models.tower_state import (
    LOG_INPUTS,
    WRITE_INPUTS,
    InvalidProgress,
    begin_write,
    encode_entry,
    encode_progress,
    log_place,
    purge_log,
    redo_log,
    restore_tower,
)
from models.tower_stream import InputKind, Shed, TowerInput, TowerStream, decode_input, encode_input


@dataclass
class State:
    """What Flink holds for the operator, as dicts."""

    log: dict[int, bytes] = field(default_factory=dict)
    blocks: dict[int, bytes] = field(default_factory=dict)
    catalogue: dict[int, bytes] = field(default_factory=dict)
    progress: bytes | None = None
    written: int = 0

    def copy(self) -> "State":
        return State(dict(self.log), dict(self.blocks), dict(self.catalogue), self.progress, self.written)

    def accept(self, stream: TowerStream, entry: TowerInput, write_inputs: int) -> None:
        """Accept, log, and write at the first border that lies `write_inputs` or more after the last write."""
        stream.accept(entry)
        self.log[log_place(stream.number)] = encode_input(stream.number, entry)
        if stream.number - self.written >= write_inputs and not stream.unfinished:
            self.write(stream)

    def write(self, stream: TowerStream) -> None:
        tower = stream.tower
        for block in begin_write(stream):
            self.blocks[block] = tower.rows.encode_block(block)
        tower.rows.dirty[:] = False
        for key in tower.changed_entries:
            entry = encode_entry(stream, key)
            if entry is None:
                self.catalogue.pop(key, None)
            else:
                self.catalogue[key] = entry
        tower.changed_entries.clear()
        self.progress = encode_progress(stream)
        self.written = stream.number
        purge_log(stream, self.log.get, self.log.__delitem__)

    def restore(self, settings: TowerSettings, model: ModelSettings = MODEL) -> TowerStream:
        stream = TowerStream(model, settings)
        if self.progress is not None:
            entries = sorted(self.catalogue.items())  # in another order than they were written in
            restore_tower(stream, self.progress, self.blocks.__getitem__, entries)
        redo_log(stream, self.log.get)
        return stream


def everything(stream: TowerStream) -> list[object]:
    """All that decides how the tower goes on."""
    tower, rows, window = stream.tower, stream.tower.rows, stream.window
    return [
        encode_progress(stream),
        [rows.encode_block(block) for block in range(-(-rows.n // 64))],
        rows.names[: rows.n].tobytes(),
        rows.numbers[: rows.n].tobytes(),
        rows.ngrams[: rows.n].tobytes(),
        rows.described[: rows.n].tobytes(),
        {key: encode_entry(stream, key) for key in [*tower.catalogue, *tower.waiting]},
        stream.unfinished,
        window.end - window.first,
        window.positives(np.arange(window.first, window.end)).tolist(),
    ]


def assert_every_cut_is_healed(
    inputs: Sequence[TowerInput],
    settings: TowerSettings,
    cuts: Sequence[int],
    write_inputs: int,
    model: ModelSettings = MODEL,
) -> None:
    """Run through undisturbed; from each cut on, go on with a tower restored from what state held then."""
    undisturbed, state, at_cut = TowerStream(model, settings), State(), {}
    for number, entry in enumerate(inputs, 1):
        state.accept(undisturbed, entry, write_inputs)
        if number in cuts:
            at_cut[number] = (state.copy(), everything(undisturbed))
    for cut, (held, before) in at_cut.items():
        restored = held.restore(settings, model)
        assert everything(restored) == before, f"restored at input {cut}"
        for entry in inputs[cut:]:
            held.accept(restored, entry, write_inputs)
        assert everything(restored) == everything(undisturbed), f"cut at input {cut}, some time later"


CUTS = (1, 7, 29, 30, 31, 32, 64, 65, 100, 150, 199, 233, 298, 399)


def test_a_restored_tower_equals_an_undisturbed_one_at_every_cut() -> None:
    assert_every_cut_is_healed(tower_inputs(400), TOWER, CUTS, write_inputs=30)


def test_also_when_users_were_erased_in_between() -> None:
    inputs = tower_inputs(400)
    for at, user in ((360, "u5"), (233, "u1"), (205, "u0"), (64, "u3"), (32, "u2"), (31, "u1"), (5, "nobody")):
        inputs.insert(at, erasure_input(user))
    cuts = sorted({*CUTS, 5, 6, 33, 34, 66, 67, 206, 207, 237, 238, 360, 366, 367, 368, 405})
    assert_every_cut_is_healed(inputs, TOWER, cuts, write_inputs=30)


def users_in(log: dict[int, bytes]) -> set[int]:
    inputs = [decode_input(entry)[1] for entry in log.values()]
    return {decode_example(entry.payload).user for entry in inputs if entry.kind is InputKind.EXAMPLE}


def test_when_the_tower_is_written_the_log_holds_nothing_of_an_erased_user() -> None:
    state, stream = State(), TowerStream(MODEL, TOWER)
    for entry in [*tower_inputs(200), erasure_input("u3")]:
        state.accept(stream, entry, write_inputs=10_000)
    others = {hash_id(f"u{n}") for n in range(9)} - {hash_id("u3")}
    assert users_in(state.log) == others | {hash_id("u3")}  # what was learned from them must be redone after a kill
    restored = state.restore(TOWER)
    for each in (stream, restored):
        each.accept(BORDER)
        written = state.copy()
        written.write(each)
        assert users_in(written.log) == others
        assert all(encode_erasure(hash_id("u3")) not in entry for entry in written.log.values())
        assert each.erased == []


def test_of_an_erased_user_inputs_older_than_the_window_leave_the_log_too_also_after_a_restore() -> None:
    state, stream = State(), TowerStream(MODEL, TOWER)
    early = [example_input(example("old", f"i{n}", seed=n)) for n in range(8)]
    for entry in [*early, *tower_inputs(300)]:
        state.accept(stream, entry, write_inputs=30)
    assert stream.window.first > 8  # TOWER.replay_window is 64
    restored = state.restore(TOWER)
    state.accept(restored, erasure_input("old"), write_inputs=10_000)
    restored.accept(BORDER)
    state.write(restored)
    assert hash_id("old") not in users_in(state.log)


def test_an_item_that_waits_for_admission_does_not_name_an_erased_user() -> None:
    settings = replace(TOWER, admission_events=3, admission_users=2)
    stream = feed(TowerStream(MODEL, settings), [example_input(example("u1", "new"))])
    stream.tower.changed_entries.clear()
    stream.accept(erasure_input("u1"))
    (key,) = stream.tower.changed_entries
    assert key == hash_id("new")
    assert str(hash_id("u1")).encode() not in (encode_entry(stream, key) or b"")
    feed(stream, [example_input(example("u2", "new", seed=n)) for n in range(2)])
    assert stream.tower.rows.row_of(key) >= 0  # of two users still


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_also_under_every_loss_and_optimiser_and_with_explicit_negatives(loss: str, optimizer: str) -> None:
    inputs = tower_inputs(200)
    for n in range(0, 200, 5):
        if inputs[n].kind is InputKind.EXAMPLE:
            negative = replace(decode_example(inputs[n].payload), weight=-0.5, target=-1.0)
            rating = replace(decode_example(inputs[n].payload), target=0.5, rated=True)
            inputs[n] = example_input(rating if n % 2 else negative)
    model = replace(MODEL, loss=loss, optimizer=optimizer)
    assert_every_cut_is_healed(inputs, TOWER, (7, 31, 100, 150), write_inputs=30, model=model)


@pytest.mark.parametrize("before", OPTIMIZERS)
@pytest.mark.parametrize("after", OPTIMIZERS)
def test_under_another_optimiser_a_tower_keeps_its_vectors_and_starts_its_moments(before: str, after: str) -> None:
    old, new = (replace(MODEL, optimizer=name) for name in (before, after))
    state, stream = State(), feed(TowerStream(old, TOWER), [*tower_inputs(100), BORDER])
    state.write(stream)
    rows, restored = stream.tower.rows, state.restore(TOWER, new).tower.rows
    for name in ("hashes", "events", "vectors", "biases", "counts"):
        assert np.array_equal(getattr(restored, name)[: rows.n], getattr(rows, name)[: rows.n]), name
    fresh = TowerRows(8, 2, after)
    for item in rows.hashes[: rows.n].tolist():
        fresh.add(item)
    for name in {"sgd": (), "adagrad": ("vector_squares", "bias_squares"), "adam": ("vector_means", "steps")}[after]:
        expected = rows if before == after else fresh
        assert np.array_equal(getattr(restored, name)[: rows.n], getattr(expected, name)[: rows.n]), name
    unused = {"sgd": "steps", "adagrad": "vector_means", "adam": "vector_squares"}[after]
    assert len(getattr(restored, unused)) == 0  # what is not used takes no memory


def test_also_when_work_was_shed_in_every_way() -> None:
    rng = np.random.default_rng(7)
    inputs = [replace(entry, shed=Shed(int(rng.integers(len(Shed))))) for entry in tower_inputs(400)]
    assert_every_cut_is_healed(inputs, TOWER, CUTS, write_inputs=30)


def test_also_when_items_wait_for_their_admission() -> None:
    settings = replace(TOWER, admission_events=3, admission_users=2, admission_waiting_max=5)
    assert_every_cut_is_healed(tower_inputs(400, seed=3, n_items=150), settings, CUTS, write_inputs=30)


def test_also_when_nothing_was_written_yet() -> None:
    assert_every_cut_is_healed(tower_inputs(120), TOWER, (1, 50, 119), write_inputs=1_000)


def test_also_when_the_log_has_gone_round_many_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tower_state, "LOG_INPUTS", 64 + 30 + 10)  # the window, between two writes, and a batch
    assert_every_cut_is_healed(tower_inputs(400), TOWER, CUTS, write_inputs=30)


def test_also_across_growth_beyond_1024_rows_and_an_eviction() -> None:
    settings = replace(TOWER, max_items=1_100)
    mixed = tower_inputs(300, seed=1, n_items=60)
    inputs = [
        *mixed[:100],
        *(item_input(f"listed {n}", tags=[f"t{n % 9}"]) for n in range(1_000)),
        *mixed[100:200],
        *(example_input(example(f"v{n}", f"event {n}", seed=n)) for n in range(60)),
        *mixed[200:],
    ]
    stream = feed(TowerStream(MODEL, settings), inputs)
    assert len(stream.tower.rows.hashes) == 2_048
    assert stream.tower.generation >= 1
    assert_every_cut_is_healed(inputs, settings, (90, 700, 1_080, 1_150, 1_230, 1_259, 1_300, 1_459), write_inputs=60)


def test_also_when_counts_were_rescaled() -> None:
    settings = replace(TOWER, half_lives=(0.2, 20.0))  # units grow 32 times an event: past 1e280 after 186
    stream = feed(TowerStream(MODEL, settings), tower_inputs(400))
    assert stream.tower.generation >= 1
    assert_every_cut_is_healed(tower_inputs(400), settings, (150, 233, 298), write_inputs=30)


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("numbers", ["standardise", "minmax", "buckets"])
def test_also_with_text_vectors_and_every_form_of_content_tower(depth: int, numbers: str) -> None:
    settings = replace(
        TOWER,
        content_depth=depth,
        content_numbers=numbers,
        content_text_columns=4,
        content_text_buckets=64,
        content_width=8,
        content_steps=5,
    )
    rng = np.random.default_rng(2)
    rich = [
        item_input(f"i{n}", title=f"film {n % 7}", category=f"c{n % 3}", numbers={"year": 1900 + n, "pages": n % 5})
        if n % 2
        else item_input(f"i{n}", vectors={"image": rng.normal(size=6).tolist(), f"audio{n % 6}": [n, 1.0]})
        for n in range(40)
    ]
    mixed = tower_inputs(240, seed=4)
    inputs = [*rich[:20], *mixed[:120], *rich[20:], *mixed[120:]]
    stream = feed(TowerStream(MODEL, settings), inputs)
    assert stream.tower.content.fits >= 5
    assert len(stream.tower.content.projections) == 4
    assert_every_cut_is_healed(inputs, settings, (10, 55, 90, 141, 181, 250), write_inputs=30)


# ---- how state is used ---------------------------------------------------------------------------


def test_the_log_reaches_back_far_enough_for_the_longest_window_that_can_be_set() -> None:
    assert REPLAY_WINDOW_MAX + WRITE_INPUTS <= LOG_INPUTS
    with pytest.raises(ValueError, match=r"tower\.replay_window: must be in \[1, 24000\]; got 24001"):
        TowerSettings(replay_window=24_001)


def test_only_blocks_with_changes_are_written() -> None:
    state, stream = State(), TowerStream(MODEL, TOWER)
    feed(stream, [item_input(f"i{n}") for n in range(200)])
    assert begin_write(stream) == [0, 1, 2, 3]
    state.write(stream)
    assert begin_write(stream) == []
    feed(stream, [item_input("i130", title="changed")])
    assert begin_write(stream) == [2]


def test_an_evicted_item_that_nobody_listed_leaves_the_catalogue_state() -> None:
    settings = replace(TOWER, max_items=100, admission_events=1)
    state, stream = State(), TowerStream(MODEL, settings)
    for n in range(130):
        state.accept(stream, example_input(example(f"u{n}", f"i{n}", seed=n)), 8)
    state.accept(stream, BORDER, 1)
    assert set(state.catalogue) == set(stream.tower.catalogue)
    assert len(state.catalogue) == 100


# ---- refusals ------------------------------------------------------------------------------------


def written() -> State:
    state, stream = State(), TowerStream(MODEL, TOWER)
    feed(stream, [*tower_inputs(100), BORDER])
    state.write(stream)
    return state


@pytest.mark.parametrize("changed", [{"half_lives": (20.0, 2_000.0)}, {"half_lives": (20.0,)}], ids=str)
def test_settings_that_shape_the_state_must_be_those_it_was_written_with(changed: dict) -> None:
    with pytest.raises(InvalidProgress, match="Restore with the old settings"):
        written().restore(replace(TOWER, **changed))


def test_settings_that_do_not_shape_the_state_may_change() -> None:
    restored = written().restore(replace(TOWER, learning_rate=0.2, batch=16))
    assert restored.number == 101


@pytest.mark.parametrize(
    "changed",
    [
        {"content_columns": 13},
        {"content_numbers": "minmax"},
        {"content_depth": 1},
        {"content_text_columns": 4},
        {"content_vector_columns": 5},
    ],
    ids=str,
)
def test_under_other_settings_of_content_all_else_is_restored_and_content_fitted_anew(changed: dict) -> None:
    state = written()
    before, restored = state.restore(TOWER), state.restore(replace(TOWER, **changed))
    assert before.tower.content.fitted
    assert not restored.tower.content.fitted
    for name, array in before.tower.rows.stored().items():
        assert np.array_equal(restored.tower.rows.stored()[name], array), name
    assert np.array_equal(restored.tower.rows.described, before.tower.rows.described)
    feed(restored, tower_inputs(100, seed=9))
    assert restored.tower.content.fitted


@pytest.mark.parametrize("progress", [b"", b"LTU1", b"\xff" * 40])
def test_bytes_that_are_no_progress_are_refused(progress: bytes) -> None:
    with pytest.raises(InvalidProgress):
        replace(written(), progress=progress).restore(TOWER)


def test_progress_of_another_version_is_refused() -> None:
    state = written()
    assert state.progress is not None
    state.progress = state.progress.replace(b"livetower-tower-progress-2", b"livetower-tower-progress-3")
    with pytest.raises(InvalidProgress, match="livetower-tower-progress-3"):
        state.restore(TOWER)


@pytest.mark.parametrize(
    "broken",
    [b"", b"LTB3" + bytes(60), b"LTB1\1\0\x09\0\2\0", b"LTB2\1\0\x08\0\2\0\3\0"],
    ids=["empty", "version", "shape", "optimiser"],
)
def test_bytes_that_are_no_block_are_refused(broken: bytes) -> None:
    state = written()
    state.blocks[0] = broken
    with pytest.raises(InvalidBlock):
        state.restore(TOWER)


def test_a_block_that_was_cut_off_is_refused() -> None:
    state = written()
    state.blocks[0] = state.blocks[0][:-1]
    with pytest.raises(InvalidBlock, match="must have"):
        state.restore(TOWER)
