"""What `livetower inspect snapshot` says of snapshot files whose content is known number by number."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from test_released_versions import fixture

from livetower.cli import main
from livetower.inspect.snapshot_files import chain_findings, chain_of
from models.hashing import hash_id
from models.item_table import CLASSES, Popularity
from models.snapshots import DELTA, FULL, POPULARITY, Announcement, SnapshotRows, digest, encode_snapshot
from operators.snapshot_files import SnapshotFiles

# Five vectors whose angles are known: to "east" 0, 60, 90 and 180 degrees; "nowhere" has no length.
VECTORS = {
    "east": [2.0, 0.0],
    "north-east": [0.5, 0.75**0.5],
    "north": [0.0, 3.0],
    "west": [-1.0, 0.0],
    "nowhere": [0.0, 0.0],
}


def whole(vectors: dict[str, list[float]] = VECTORS, *, kind: str = FULL, trained: int = 2_000) -> SnapshotRows:
    n, ids = len(vectors), tuple(vectors)
    return SnapshotRows(
        kind=kind,
        epoch=1,
        trained_events=trained,
        popularity=Popularity(
            counts=np.arange(2.0 * n).reshape(n, 2),
            cold=np.array([item_id == "nowhere" for item_id in ids]),
            cold_counts=np.ones(2, np.float32),
            alpha=np.ones((CLASSES, 2), np.float32),
            gamma=np.full(CLASSES, 0.5, np.float32),
            floor=0.01,
            unit=np.array([2.0, 4.0]),
        ),
        available=np.array([item_id != "west" for item_id in ids]),
        hashes=np.array([hash_id(item_id) for item_id in ids]),
        vectors=np.array(list(vectors.values()), np.float32),
        biases=np.arange(n, dtype=np.float32) / 4,
        ids=ids,
        titles=tuple(f"The {item_id}" for item_id in ids),
        categories=tuple("axis" if "-" not in item_id else "" for item_id in ids),
        content=np.ones((n, 4), np.float16),
        neighbour_rows=np.array([[1, -1]] * n, np.int32),
        neighbour_weights=np.array([[0.25, 0]] * n, np.float32),
        beta=np.zeros((2, CLASSES), np.float32),
        rows=None if kind == FULL else np.arange(n),
    )


def put(root: Path, rows: SnapshotRows) -> Path:
    blob = encode_snapshot(rows)
    return root / SnapshotFiles(str(root)).write(rows.kind, rows.epoch, rows.trained_events, digest(blob), blob)


def put_bytes(root: Path, name: str, blob: bytes) -> Path:
    root.mkdir(exist_ok=True)
    file = root / f"{name}-{digest(blob)[:16]}.safetensors"
    file.write_bytes(blob)
    return file


def said(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["inspect", "snapshot", *map(str, words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def told(*words: str | Path, code: int = 0) -> dict:
    return json.loads(said(*words, "--json", code=code))


# ---- ls ------------------------------------------------------------------------------------------


def test_ls_lists_kind_epoch_events_items_bytes_age_and_chain_in_the_order_of_training(tmp_path):
    later = put(tmp_path, whole(kind=DELTA, trained=2_500))
    full = put(tmp_path, whole())
    alone = put(tmp_path, replace(whole(kind=DELTA, trained=9), epoch=3))
    (tmp_path / "notes.txt").write_text("not a snapshot")
    (tmp_path / ".full-1-2-0123456789abcdef.safetensors.7.partial").write_text("half")
    for file in (full, later, alone):
        os.utime(file, (1_700_000_000, 1_700_000_000))
    listed = told("ls", tmp_path)["snapshots"]
    assert [each.pop("age_ms") > 0 for each in listed] == [True] * 3
    common = {"epoch": 1, "items": 5, "written_ms": 1_700_000_000_000}
    assert listed[:2] == [
        common
        | {"name": full.name, "kind": "full", "trained_events": 2_000, "bytes": full.stat().st_size, "full": None},
        common
        | {"name": later.name, "kind": "delta", "trained_events": 2_500, "bytes": later.stat().st_size}
        | {"full": full.name},
    ]
    assert (listed[2]["name"], listed[2]["epoch"], listed[2]["full"]) == (alone.name, 3, None)
    assert "no full snapshot before it" in said("ls", tmp_path)


def test_ls_of_a_savepoint_lists_the_copies_beside_it(tmp_path):
    (tmp_path / "_metadata").write_bytes(b"")
    file = put(tmp_path / "snapshots", whole())
    assert [each["name"] for each in told("ls", tmp_path)["snapshots"]] == [file.name]


def test_ls_reads_only_the_header_so_a_file_whose_rows_are_cut_off_still_has_a_line(tmp_path):
    file = put(tmp_path, whole())
    file.write_bytes(file.read_bytes()[:-100])
    assert told("ls", tmp_path)["snapshots"][0]["items"] == 5
    file.write_bytes(b"\xff" * 40)
    assert told("ls", tmp_path)["snapshots"][0]["items"] is None


# ---- show, neighbours ----------------------------------------------------------------------------


def test_show_tells_what_stands_in_a_snapshot(tmp_path):
    facts = told("show", put(tmp_path, whole()))
    norms = facts.pop("norm_percentiles")
    assert (norms["0"], norms["50"], norms["100"]) == (0, 1, 3)
    assert facts == {
        "kind": "full",
        "epoch": 1,
        "trained_events": 2_000,
        "rows": 5,
        "whole_rows": 5,
        "new_rows": None,
        "available": 4,
        "cold": 1,
        "dimension": 2,
        "content_columns": 4,
        "half_lives": 2,
        "zero_vectors": 1,
        "floor": 0.01,
        "gamma": [0.5] * 7,
        "alpha": [[1.0, 1.0]] * 7,
        "categories": {"axis": 4, "(none)": 1},
    }


def test_show_of_an_item_tells_its_vector_counts_and_neighbours(tmp_path):
    facts = told("show", put(tmp_path, whole()), "north")
    neighbours = facts.pop("neighbours")
    assert [each["item_id"] for each in neighbours] == ["north-east", "east", "west", "nowhere"]
    assert facts == {
        "item_id": "north",
        "title": "The north",
        "category": "axis",
        "hash": hash_id("north"),
        "row": 2,
        "available": True,
        "cold": False,
        "norm": 3.0,
        "bias": 0.5,
        "events_per_half_life": [2.0, 1.25],  # counts 4 and 5 in units of 2 and 4
        "content_norm": 2.0,
        "seen_together": [{"item_id": "north-east", "title": "The north-east", "category": "", "weight": 0.25}],
        "vector": [0.0, 3.0],
    }


def test_a_new_item_of_a_popularity_update_is_shown_with_the_counts_of_its_own_row(tmp_path):
    new = whole({"south": [0.0, -2.0]})
    both = replace(
        new.popularity, counts=np.array([[2.0, 4.0], [6.0, 16.0]]), cold=np.array([False, True])
    )  # of the known row 3, then of the new one
    available, rows = np.array([True, False]), np.array([3, -1])
    update = replace(new, kind=POPULARITY, trained_events=2_100, popularity=both, available=available, rows=rows)
    file = put(tmp_path, update)
    facts = told("show", file, "south")
    assert (facts["row"], facts["available"], facts["cold"]) == (-1, False, True)
    assert (facts["events_per_half_life"], facts["norm"], facts["neighbours"]) == ([3.0, 4.0], 2.0, [])
    facts = told("show", file)
    assert (facts["rows"], facts["whole_rows"], facts["new_rows"], facts["available"]) == (2, 1, 1, 1)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("east", [("north-east", 0.5), ("north", 0.0), ("west", -1.0)]),
        ("west", [("north", 0.0), ("north-east", -0.5), ("east", -1.0)]),
    ],
)
def test_neighbours_are_those_of_the_smallest_angle(tmp_path, item, expected):
    found = told("neighbours", put(tmp_path, whole()), item, "-n", "3")["neighbours"]
    assert [each["item_id"] for each in found] == [item_id for item_id, _ in expected]
    assert [each["cosine"] for each in found] == pytest.approx([cosine for _, cosine in expected], abs=1e-6)
    assert (found[0]["title"], found[0]["category"]) == (
        f"The {expected[0][0]}",
        "axis" if "-" not in expected[0][0] else "",
    )


def test_an_unknown_item_is_one_line_with_code_cause_and_cure(tmp_path):
    line = said("neighbours", put(tmp_path, whole()), "south", code=2)
    assert line.startswith("livetower inspect: LT-INS-302: ")
    assert line.count("\n") == 1
    assert "no item 'south' among its 5" in line


# ---- verify --------------------------------------------------------------------------------------


def not_finite(root: Path) -> None:
    put(root, whole({"east": [float("nan"), 1.0]}))


def of_another_digest(root: Path) -> None:
    file = put(root, whole())
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")


def cut_short(root: Path) -> None:
    file = put(root, whole())
    file.write_bytes(file.read_bytes()[:500])


def of_a_newer_version(root: Path) -> None:
    put_bytes(root, "full-0-000000000500", fixture("snapshot_2.safetensors").replace(b"snapshot-2", b"snapshot-9"))


def of_another_name(root: Path) -> None:
    put_bytes(root, "full-7-000000002000", encode_snapshot(whole()))


def with_the_hash_of_another_id(root: Path) -> None:
    rows = whole()
    put(root, replace(rows, ids=("south", *rows.ids[1:])))


def with_an_item_twice(root: Path) -> None:
    rows = whole()
    put(root, replace(rows, ids=("north", *rows.ids[1:]), hashes=np.array([hash_id("north"), *rows.hashes[1:]])))


def with_a_neighbour_beyond_its_rows(root: Path) -> None:
    put(root, replace(whole(), neighbour_rows=np.array([[9, -1]] * 5, np.int32)))


DAMAGE = {
    not_finite: ("LT-INS-402", "vector holds numbers that are not finite"),
    of_another_digest: ("LT-INS-403", "was needed; got"),
    cut_short: ("LT-INS-402", "not an item snapshot"),
    of_a_newer_version: ("LT-INS-402", "livetower-item-snapshot-9"),
    of_another_name: ("LT-INS-402", "its name says ('full', 7, 2000); its content ('full', 1, 2000)"),
    with_the_hash_of_another_id: ("LT-INS-402", "1 items have the hash of another id, 'south' among them"),
    with_an_item_twice: ("LT-INS-402", "an item has two rows"),
    with_a_neighbour_beyond_its_rows: ("LT-INS-402", "neighbour_row must be in [-1, 5)"),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_broken_snapshot_is_named_with_its_code_and_cause(tmp_path, damage):
    damage(tmp_path)
    code, cause = DAMAGE[damage]
    answer = told("verify", tmp_path, code=1)
    assert answer["broken"] >= 1
    (found,) = [each for each in answer["findings"] if each["code"] == code]
    assert (found["severity"], cause in found["cause"]) == ("broken", True), found
    assert found["cure"]


def test_a_delta_without_a_full_snapshot_of_its_epoch_is_a_warning_and_with_strict_an_exit_code(tmp_path):
    put(tmp_path, whole(kind=DELTA, trained=2_500))
    put(tmp_path, replace(whole(), epoch=0))
    (found,) = told("verify", tmp_path)["findings"]
    assert (found["code"], found["severity"]) == ("LT-INS-404", "warning")
    assert told("verify", tmp_path, "--strict", code=1)["warnings"] == 1


def test_whole_snapshots_of_every_kind_and_version_verify(tmp_path):
    put(tmp_path, whole())
    put(tmp_path, whole(kind=DELTA, trained=2_500))
    for name, kind in (("snapshot_1", "full-0-000000000500"), ("snapshot_2", "full-3-000000000500")):
        put_bytes(tmp_path, kind, fixture(f"{name}.safetensors"))
    assert told("verify", tmp_path) == {"broken": 0, "warnings": 0, "findings": [], "unseen": []}
    assert said("verify", tmp_path) == "everything that was looked at is as it must be\n"


@pytest.mark.parametrize("name", ["none", "empty", "other.bin"])
def test_a_place_without_snapshots_is_one_line(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.bin").write_bytes(b"x")
    line = said("ls", tmp_path / name, code=2)
    assert line.startswith("livetower inspect: LT-INS-401: ")
    assert line.count("\n") == 1


# ---- diff ----------------------------------------------------------------------------------------


def test_diff_names_what_was_added_and_gone_and_what_moved_most(tmp_path):
    changed = {
        "east": [0.0, 2.0],
        "north-east": [1.0, 3**0.5],
        "north": [0.0, 3.0],
        "nowhere": [0.0, 0.0],
        "south": [0.0, -1.0],
    }
    before, after = put(tmp_path, whole()), put(tmp_path, whole(changed, trained=4_000))
    answer = told("diff", before, after, "--limit", "2")
    moved = answer.pop("moved")
    assert answer == {
        "before": "full 1-2000",
        "after": "full 1-4000",
        "shared": 4,
        "added": {"count": 1, "items": [{"item_id": "south", "title": "The south", "category": "axis"}]},
        "gone": {"count": 1, "items": [{"item_id": "west", "title": "The west", "category": "axis"}]},
    }
    # east has turned by 90 degrees, north-east has only become twice as long, the others stayed
    assert [(each["item_id"], round(each["cosine"], 6), each["norm_before"]) for each in moved] == [
        ("east", 0.0, 2.0),
        ("north-east", 1.0, pytest.approx(1)),
    ]
    assert moved[1]["norm_after"] == pytest.approx(2)


def test_snapshots_of_different_dimensions_are_not_compared(tmp_path):
    before, after = put(tmp_path, whole()), put(tmp_path, whole({"east": [1.0, 2.0, 3.0]}))
    assert "LT-INS-303: vectors of one dimension were needed; got 2 and 3" in said("diff", before, after, code=2)


# ---- the chain that announcements name -----------------------------------------------------------


def announced(rows: SnapshotRows, base: str, file: Path | None) -> Announcement:
    """In this file, or one that nobody has."""
    name, sha256 = file.name if file else "none", digest(encode_snapshot(rows))
    return Announcement(rows.epoch, rows.trained_events, rows.kind, base, name, None, sha256, 5, 0)


def codes(announcements, *roots):
    return [finding.code for finding in chain_findings(announcements, map(str, roots))]


def test_a_chain_is_whole_when_every_file_is_at_one_of_the_places(tmp_path):
    full, delta = whole(), whole(kind=DELTA, trained=2_500)
    chain = {
        "full": announced(full, "", put(tmp_path / "a", full)),
        "delta-0": announced(delta, digest(encode_snapshot(full)), put(tmp_path / "b", delta)),
    }
    assert codes(chain, tmp_path / "a", tmp_path / "b") == []
    assert codes(chain, tmp_path / "a") == ["LT-INS-405"]
    (tmp_path / "b" / chain["delta-0"].file).write_bytes(b"other")
    assert codes(chain, tmp_path / "a", tmp_path / "b") == ["LT-INS-406"]


def test_a_delta_of_another_base_is_named_and_an_update_of_an_older_chain_is_left_aside(tmp_path):
    full, delta, update = whole(), whole(kind=DELTA, trained=2_500), whole(kind=POPULARITY, trained=2_600)
    chain = {
        "full": announced(full, "", put(tmp_path, full)),
        "delta-0": announced(delta, "0" * 64, put(tmp_path, delta)),
        "popularity": announced(update, "1" * 64, None),
    }
    assert codes(chain, tmp_path) == ["LT-INS-404"]
    assert [each.kind for each in chain_of(chain)] == ["full", "delta"]
    assert chain_of({name: chain[name] for name in ("delta-0",)}) == [chain["delta-0"]]
