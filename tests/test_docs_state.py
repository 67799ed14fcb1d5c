"""docs/state.md: what its tables say of the bytes is what our decoders say, for every released version."""

import base64
import json
import subprocess
import sys

import numpy as np
import pytest
import stored_states
from state_tables import decode, tables_under
from test_released_versions import FIXTURES, fixture

from flink_jobs.job_facts import BLOB_VERSIONS
from livetower.inspect.opened_state import OpenedState
from livetower.inspect.serialized import key_group_of
from models.examples import decode_example
from models.tower_rows import TowerRows
from models.tower_stream import decode_input
from models.user_state import as_dict, decode_user_state

USER_2, USER_1 = tables_under("User state")
EXAMPLE_2, EXAMPLE_1 = tables_under("Example")
BLOCK_2, BLOCK_1 = tables_under("Block of rows")
(INPUT,) = tables_under("Tower input")
KEY, VALUE, PICKLE = tables_under("What Flink puts around a blob")
PLAIN = ("magic", "zeros", "k", "R", "T", "C", "D")


def plain(values: dict) -> dict:
    """Arrays as lists."""
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


@pytest.mark.parametrize(("name", "table"), [("user_state_1.bin", USER_1), ("user_state_2.bin", USER_2)])
def test_a_user_state_decoded_by_the_table_is_what_the_decoder_says(name, table):
    by_table = decode(table, fixture(name))
    by_code = plain(as_dict(decode_user_state(fixture(name))))
    told = {field: value for field, value in by_table.items() if field not in PLAIN}
    assert len(told) > 10
    assert told == {field: by_code[field] for field in told}
    assert by_table["magic"] == f"LTU{name[-5]}".encode()


@pytest.mark.parametrize(("name", "table"), [("example_1.bin", EXAMPLE_1), ("example_2.bin", EXAMPLE_2)])
def test_an_example_decoded_by_the_table_is_what_the_decoder_says(name, table):
    by_table = decode(table, fixture(name))
    example = decode_example(fixture(name))
    told = {field: value for field, value in by_table.items() if field not in PLAIN}
    assert len(told) > 8
    assert told == {field: plain({"": getattr(example, field)})[""] for field in told}


@pytest.mark.parametrize(
    ("name", "table", "optimizer"), [("block_1.bin", BLOCK_1, "adagrad"), ("block_2.bin", BLOCK_2, "adam")]
)
def test_a_block_decoded_by_the_table_is_what_the_decoder_says(name, table, optimizer):
    by_table = decode(table, fixture(name))
    rows = TowerRows(by_table["k"], by_table["F"], optimizer)
    rows.append_block(fixture(name))
    told = {field: value for field, value in by_table.items() if isinstance(value, list)}
    assert len(told) > 8
    assert told == {field: getattr(rows, field)[: rows.n].ravel().tolist() for field in told}


def test_a_tower_input_decoded_by_the_table_is_what_the_decoder_says():
    by_table = decode(INPUT, fixture("input_1.bin"))
    number, entry = decode_input(fixture("input_1.bin"))
    assert by_table == {"magic": b"LTI1", "number": number, "kind": entry.kind, "shed": entry.shed} | {
        "payload": entry.payload
    }


def test_a_table_that_forgets_or_moves_a_field_is_found_out():
    with pytest.raises(AssertionError):
        decode(USER_2[:-1], fixture("user_state_2.bin"))
    with pytest.raises(AssertionError):
        decode([USER_2[0], *USER_2[2:]], fixture("user_state_2.bin"))


def test_every_version_that_the_code_writes_has_a_table_or_is_named():
    page = (FIXTURES.parents[1] / "docs" / "state.md").read_text()
    for magic, name in (("LTU", "user state"), ("LTX", "example"), ("LTI", "tower input"), ("LTB", "tower block")):
        assert f"`{magic}{BLOB_VERSIONS[name]}`" in page
    assert f"`livetower-tower-progress-{BLOB_VERSIONS['tower progress']}`" in page
    assert f"`livetower-item-snapshot-{BLOB_VERSIONS['item snapshot']}`" in page


# ---- JSON and safetensors ------------------------------------------------------------------------


def header(name: str) -> dict:
    blob = fixture(name)
    length = int.from_bytes(blob[:8], "little")
    return json.loads(blob[8 : 8 + length])


def fits(said: dict[str, tuple[str, str]], tensors: dict) -> None:
    """Types and shapes are as said, and a letter means the same number everywhere."""
    letters: dict[str, int] = {}
    for name, tensor in tensors.items():
        dtype, shape = said[name]
        words = shape.split(", ")
        assert (tensor["dtype"], len(tensor["shape"])) == (dtype, len(words)), name
        for word, size in zip(words, tensor["shape"], strict=True):
            assert size == (int(word) if word.isdigit() else letters.setdefault(word, size)), (name, word)


@pytest.mark.parametrize(
    ("file", "section", "missing"),
    [
        ("snapshot_2.safetensors", "Item snapshot", {"row"}),
        ("delta_2.safetensors", "Item snapshot", set()),
        ("popularity_2.safetensors", "Item snapshot", set()),
        ("progress_2.safetensors", "Progress", set()),
    ],
)
def test_the_tensors_of_a_file_are_those_of_the_table(file, section, missing):
    (rows,) = tables_under(section, "| tensor | type | shape |")
    said = {name.strip("`"): (dtype, shape) for name, dtype, shape in rows}
    found = header(file)
    facts = json.loads(found.pop("__metadata__")["facts"])
    if section == "Progress":
        assert {"dimension", "half_lives", "epoch", "number", "trained", "n_rows"} <= facts.keys() | {"epoch"}
        found = {n: t for n, t in found.items() if not n.startswith(("content.", "number_"))}
        missing = said.keys() - found.keys()
        assert missing <= {"beta", "beta_squares"}  # the fixture is older than they
    else:
        assert facts.keys() == {"format", "kind", "epoch", "trained_events", "floor"}
    assert said.keys() - found.keys() == missing
    fits(said, found)


def test_the_places_of_a_catalogue_entry_are_those_of_the_table():
    (rows,) = tables_under("Catalogue entry", "| place in `entry` | field | JSON |")
    for name, places in (("listed_1.json", 8), ("listed_2.json", 9)):
        record = json.loads(fixture(name))
        assert record.keys() == {"entry", "listed"}
        kinds = {"text": str, "bool": bool, "number": int, "list": list}
        assert len(record["entry"]) == places
        for (place, _, kind), value in zip(rows, record["entry"], strict=False):
            assert value is record["entry"][int(place)]
            assert isinstance(value, kinds[kind.split()[0]]), place
    assert len(json.loads(fixture("waiting_1.json"))["waiting"]) == 4


def test_the_fields_of_an_announcement_are_those_of_the_table():
    (rows,) = tables_under("Announcement", "| field | JSON |")
    assert json.loads(fixture("announcement_1.json")).keys() | {"file", "shed"} == {row[0].strip("`") for row in rows}


# ---- what Flink puts around them -----------------------------------------------------------------


@pytest.mark.parametrize("way", stored_states.WAYS)
def test_keys_and_values_of_a_real_state_are_what_the_tables_say(tmp_path, way):
    expected = stored_states.expected(way)["users"]
    found, inputs = {}, 0
    with OpenedState(str(stored_states.unpacked(way, tmp_path))) as state:
        for subtask in state._subtasks(state._operator("learn-and-recommend")):
            for key, value in subtask.entries("user"):
                fields = decode(KEY, key, wide=0, map=0)
                text = b"".join(unit.to_bytes(2, "little") for unit in fields["units"]).decode("utf-16-le")
                assert fields["key_group"] == key_group_of(text, 128)
                framed = decode(VALUE, value, timed=1, map=0)
                assert 0 < framed["touched_ms"] <= stored_states.expected(way)["written_before_ms"]
                found[base64.b64decode(text).decode()] = decode(PICKLE, framed["pickle"])["blob"]
        for subtask in state._subtasks(state._operator("train-item-tower")):
            for key, value in subtask.entries("log"):
                fields = decode(KEY, key, wide=0, map=1)
                assert bytes(fields["units"]) == b"tower"
                blob = decode(PICKLE, decode(VALUE, value, timed=0, map=1)["pickle"])["blob"]
                assert decode(INPUT, blob)["number"] % 32_000 == fields["map_key"]
                inputs += 1
    assert found == expected
    assert inputs > 50


def test_the_decoders_load_no_flink_and_no_kafka():
    modules = (
        "models.user_state, models.examples, models.tower_rows, models.tower_progress, models.snapshots, "
        "livetower.inspect.serialized"
    )
    unwanted = ("pyflink", "py4j", "confluent_kafka", "torch")
    program = f"import {modules}, sys; print(*[name for name in {unwanted} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
