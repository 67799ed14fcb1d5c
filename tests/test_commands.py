"""Commands to the item tower: their records, and what they do to a stream."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from test_tower_state import State, everything
from worlds import BORDER, MODEL, TOWER, feed, item_input, tower_inputs

from livetower import command as command_line
from livetower.cli import main
from models.commands import Command, CommandKind, encode_command, parse_command
from models.publishing import delta_since, full_snapshot, popularity_update
from models.records import InvalidRecord, Reason
from models.tower_kernels import first_vectors
from models.tower_stream import InputKind, TowerInput, TowerStream

REFRESH = TowerInput(InputKind.COMMAND, encode_command(Command(CommandKind.FULL_REFRESH, "c1")))


# ---- records -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        Command(CommandKind.FULL_REFRESH, "c1"),
        Command(CommandKind.ROLLBACK, "é"),
        Command(CommandKind.ROLLBACK, "c", (1, 20)),
    ],
    ids=str,
)
def test_a_command_comes_back_from_its_bytes(command: Command) -> None:
    assert parse_command(encode_command(command), max_bytes=1_000) == command


def test_a_rollback_is_written_as_documented() -> None:
    written = {"command": "rollback", "command_id": "2f0d", "to": "0-18000"}
    assert json.loads(encode_command(Command(CommandKind.ROLLBACK, "2f0d", (0, 18_000)))) == written


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.NULL_VALUE),
        (b"{", Reason.MALFORMED_JSON),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b"x" * 1_001, Reason.OVERSIZED),
        (b'{"command_id": "c"}', Reason.MISSING_FIELD),
        (b'{"command": "rollback"}', Reason.MISSING_FIELD),
        (b'{"command": "explode", "command_id": "c"}', Reason.INVALID_FIELD),
        (b'{"command": ["rollback"], "command_id": "c"}', Reason.INVALID_FIELD),
        (b'{"command": "rollback", "command_id": ""}', Reason.INVALID_FIELD),
        (b'{"command": "rollback", "command_id": 5}', Reason.INVALID_FIELD),
        (b'{"command": "rollback", "command_id": "c", "to": "yesterday"}', Reason.INVALID_FIELD),
        (b'{"command": "rollback", "command_id": "c", "to": 5}', Reason.INVALID_FIELD),
        (b'{"command": "full_refresh", "command_id": "c", "to": "0-5"}', Reason.INVALID_FIELD),
    ],
)
def test_what_is_no_command_is_refused_with_its_reason(value: bytes | None, reason: Reason) -> None:
    with pytest.raises(InvalidRecord) as refused:
        parse_command(value, max_bytes=1_000)
    assert refused.value.reason is reason


# ---- full_refresh --------------------------------------------------------------------------------


def test_a_refresh_begins_with_first_vectors_and_keeps_counts() -> None:
    settings = replace(TOWER, learning_rate=0.0, learning_rate_bias=0.0, content_warm_events=10_000)
    stream = feed(TowerStream(MODEL, settings), [item_input(f"i{n}") for n in range(40)])
    feed(stream, [entry for entry in tower_inputs(200) if entry.kind is not InputKind.ITEM] + [BORDER])
    rows, tower = stream.tower.rows, stream.tower
    n = rows.n
    rows.vectors[:n], rows.biases[:n] = 7, 7
    counts, alpha = rows.counts[:n].copy(), tower.alpha.copy()
    feed(stream, [REFRESH])
    np.testing.assert_array_equal(rows.vectors[:n], first_vectors(rows.hashes[:n], 0, 8))
    assert not rows.biases[:n].any()
    assert np.array_equal(rows.counts[:n], counts)
    assert np.array_equal(tower.alpha, alpha)


def test_a_refresh_learns_the_window_and_nothing_of_what_the_rows_held() -> None:
    inputs = tower_inputs(200)
    stream, spoiled = (feed(TowerStream(MODEL, TOWER), [*inputs, BORDER]) for _ in range(2))
    n = stream.tower.rows.n
    stream.tower.content.fits = spoiled.tower.content.fits = 0
    spoiled.tower.rows.vectors[:n] = np.nan
    spoiled.tower.rows.vector_squares[:n] = 1e30
    for each in (stream, spoiled):
        each.accept(REFRESH)
    assert np.isfinite(spoiled.tower.rows.vectors[:n]).all()
    assert np.array_equal(stream.tower.rows.vectors[:n], spoiled.tower.rows.vectors[:n])
    assert not np.array_equal(stream.tower.rows.vectors[:n], first_vectors(stream.tower.rows.hashes[:n], 0, 8))


def test_a_refresh_closes_the_batch_and_begins_a_new_epoch_that_no_delta_crosses() -> None:
    stream = feed(TowerStream(MODEL, TOWER), tower_inputs(100))
    _, base = full_snapshot(stream.tower, 0, 0)
    number = stream.number
    assert stream.accept(REFRESH)
    assert (stream.epoch, stream.number, stream.unfinished) == (1, number + 1, 0)
    assert delta_since(stream.tower, base, 1, 0) is None
    assert popularity_update(stream.tower, base, 1, 0) is None


@pytest.mark.parametrize("cut", [99, 100, 101, 102, 140])
def test_a_restored_tower_redoes_a_refresh_bit_for_bit(cut: int) -> None:
    inputs = [*tower_inputs(100), REFRESH, *tower_inputs(60, seed=1)]
    undisturbed, state, held, before = TowerStream(MODEL, TOWER), State(), State(), []
    for number, entry in enumerate(inputs, 1):
        state.accept(undisturbed, entry, write_inputs=30)
        if number == cut:
            held, before = state.copy(), everything(undisturbed)
    restored = held.restore(TOWER)
    assert everything(restored) == before
    for entry in inputs[cut:]:
        held.accept(restored, entry, write_inputs=30)
    assert everything(restored) == everything(undisturbed)
    assert restored.epoch == 1


# ---- rollback ------------------------------------------------------------------------------------


def test_a_rollback_brings_vectors_and_weights_back_and_new_items_start_anew() -> None:
    stream = feed(TowerStream(MODEL, replace(TOWER, content_every=10_000)), [*tower_inputs(200), BORDER])
    snapshot, _ = full_snapshot(stream.tower, 0, 0)
    feed(stream, [*tower_inputs(100, seed=2), item_input("new"), BORDER])
    tower, rows = stream.tower, stream.tower.rows
    rows.vectors[: rows.n] = np.nan
    counts = rows.counts[: rows.n].copy()
    rows.dirty[:] = False
    stream.roll_back(snapshot)
    n = len(snapshot.hashes)
    assert np.array_equal(rows.vectors[:n], snapshot.vectors)
    assert np.array_equal(rows.biases[:n], snapshot.biases)
    assert np.array_equal(rows.vectors[n : rows.n], first_vectors(rows.hashes[n : rows.n], 0, 8))
    assert np.array_equal(tower.alpha, snapshot.popularity.alpha)
    assert np.array_equal(tower.gamma, snapshot.popularity.gamma)
    assert np.array_equal(rows.counts[: rows.n], counts)
    assert stream.epoch == 1
    assert rows.dirty[: -(-rows.n // 64)].all()


def test_a_rollback_to_another_shape_or_inside_a_batch_changes_nothing() -> None:
    stream = feed(TowerStream(MODEL, TOWER), [*tower_inputs(200), BORDER])
    snapshot, _ = full_snapshot(stream.tower, 0, 0)
    before = everything(stream)
    with pytest.raises(ValueError, match="a full snapshot of dimension 8 was needed; got one of the kind full and"):
        stream.roll_back(replace(snapshot, vectors=snapshot.vectors[:, :5]))
    with pytest.raises(ValueError, match="of 2 half-lives was needed; got 1"):
        stream.roll_back(replace(snapshot, popularity=replace(snapshot.popularity, alpha=np.ones((7, 1), np.float32))))
    assert everything(stream) == before
    feed(stream, [entry for entry in tower_inputs(9) if entry.kind is InputKind.EXAMPLE][:1])
    with pytest.raises(ValueError, match="needs a batch border; 1 examples are unfinished"):
        stream.roll_back(snapshot)


# ---- livetower command ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind", "to"),
    [
        (["full_refresh"], CommandKind.FULL_REFRESH, None),
        (["rollback"], CommandKind.ROLLBACK, None),
        (["rollback", "--to", "2-500"], CommandKind.ROLLBACK, (2, 500)),
    ],
)
def test_the_command_line_sends_what_the_job_reads(
    monkeypatch: pytest.MonkeyPatch, words: list[str], kind: CommandKind, to: tuple[int, int] | None
) -> None:
    sent: list[tuple] = []
    monkeypatch.setattr(command_line, "send", lambda *arguments: sent.append(arguments))
    result = CliRunner().invoke(main, ["command", *words, "--bootstrap-servers", "there:1", "--topic", "t"])
    assert result.exit_code == 0, result.output
    ((asked, run_dir, brokers, settings_file, topic),) = sent
    assert (asked.kind, asked.to, run_dir, brokers, settings_file, topic) == (kind, to, None, "there:1", None, "t")
    assert parse_command(encode_command(asked), max_bytes=1_000) == asked


def test_a_snapshot_that_is_named_wrongly_is_said_so() -> None:
    result = CliRunner().invoke(main, ["command", "rollback", "--to", "yesterday"])
    assert result.exit_code == 2
    assert "a snapshot is named <epoch>-<trained events>, such as 0-18000; got 'yesterday'" in result.output


def test_a_broker_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "WAIT_S", 0.2)
    result = CliRunner().invoke(main, ["command", "full_refresh", "--bootstrap-servers", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "the command did not reach topic 'commands' on 127.0.0.1:1" in result.output
