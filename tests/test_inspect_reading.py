"""Real checkpoints and savepoints, read from their files: what the job had learned, and what damaged ones say."""

import os
import pickle
import shutil
import struct
from collections import Counter

import pyarrow
import pytest
from made_up import MODEL
from stored_states import KINDS, WAYS, expected, unpacked

from livetower.inspect.errors import InspectError
from livetower.inspect.full_snapshot import FullState
from livetower.inspect.reading import open_state
from livetower.inspect.serialized import key_bytes, key_group_of, pickled_bytes, text_of_key, unpickled
from livetower.inspect.snappy_frames import BrokenFrames, read_frames
from livetower.inspect.state_files import StateFiles
from livetower.operations.metadata import RocksFiles, StateFile, StreamedGroups, read_metadata
from models.hashing import hash_id
from models.settings import TowerSettings
from models.snapshots import decode_announcement
from models.tower_state import redo_log, restore_tower
from models.tower_stream import InputKind, TowerStream, decode_input
from models.user_state import decode_user_state

ITEM_IDS = [f"i{n}" for n in range(12)]


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def place(way, tmp_path):
    """A state at another place than the one that its metadata records."""
    return unpacked(way, tmp_path)


# ---- what was learned --------------------------------------------------------------------------


def test_every_user_has_the_blob_that_the_job_computed(place, way):
    with open_state(str(place)) as state:
        assert {user.user_id: user.blob for user in state.users()} == expected(way)["users"]


def test_a_user_is_found_without_reading_the_others(place, way):
    with open_state(str(place)) as state:
        for user_id, blob in expected(way)["users"].items():
            assert state.user(user_id).blob == blob
        assert state.user("nobody") is None


def test_the_last_list_in_a_state_is_the_one_that_the_job_emitted(place, way):
    with open_state(str(place)) as state:
        for user_id, item_ids in expected(way)["last_lists"].items():
            last = decode_user_state(state.user(user_id).blob).last_list
            assert list(last) == [hash_id(item_id) for item_id in item_ids]


def test_the_time_to_live_runs_from_the_last_event(place, way):
    """Six users' events went within a minute, by the clock of the machine that ran the job."""
    before = expected(way)["written_before_ms"]
    with open_state(str(place)) as state:
        touched = [user.touched_ms for user in state.users()]
    assert all(before - 60_000 < ms <= before for ms in touched)


def test_the_offsets_are_those_behind_the_last_record_of_each_partition(place, way):
    with open_state(str(place)) as state:
        found = {f"{topic}/{partition}": offset for (topic, partition), offset in state.offsets().items()}
    assert {name: found[name] for name in expected(way)["offsets"]} == expected(way)["offsets"]


def test_the_tower_goes_on_from_what_is_read(place):
    """Restored as the job would be: the rows of the last command, then the log behind it."""
    with open_state(str(place)) as state:
        stream = TowerStream(MODEL, TowerSettings())
        restore_tower(stream, state.progress(), dict(state.blocks()).__getitem__, state.catalogue())
        written = stream.number
        log = dict(state.log())
        redone = redo_log(stream, log.get)
        announced = decode_announcement(state.announcements()["full"])
    kinds = Counter(decode_input(entry)[1].kind for entry in log.values())
    assert kinds == {
        InputKind.EXAMPLE: 61,
        InputKind.ITEM: 12,
        InputKind.COMMAND: 1,
        InputKind.BORDER: kinds.get(InputKind.BORDER, 0),
    }
    assert stream.number == written + redone == len(log)
    assert redone > 0
    assert stream.epoch == announced.epoch == 1
    assert announced.items == len(ITEM_IDS)
    assert {entry.item.title for entry in stream.tower.catalogue.values()} == {f"The {item_id}" for item_id in ITEM_IDS}


def test_kind_and_sizes_are_told(place, way):
    with open_state(str(place)) as state:
        assert state.metadata.kind == KINDS[way]
        sizes = {(size.uid, size.name): size for size in state.sizes()}
        assert 6 <= state.users_estimate() < 12  # a user may lie in two files that were not compacted yet
    user = sizes["learn-and-recommend", "user"]
    blobs = sum(len(blob) for blob in expected(way)["users"].values())
    assert user.kind == "value"
    assert 6 <= user.entries < 12
    assert user.bytes_ > 0.5 * blobs
    assert sizes["train-item-tower", "log"].kind == "map"
    assert sizes["learn-and-recommend", "item-snapshots"].kind == "broadcast"
    assert sizes["source-interactions", "SourceReaderState"].kind == "list"
    assert sizes["learn-and-recommend", "_timer_state/processing_user-timers"].kind == "timers"


def test_users_lie_in_their_key_group_s_subtask(place):
    with open_state(str(place)) as state:
        (learn,) = [each for each in state.metadata.operators if each.uid == "learn-and-recommend"]
        assert [each.groups for each in learn.keyed] == [range(64), range(64, 128)]
        halves = [[text_of_key(key, False) for key, _ in sub.entries("user")] for sub in state._subtasks(learn)]
    assert all(key_group_of(key, 128) < 64 for key in halves[0])
    assert all(key_group_of(key, 128) >= 64 for key in halves[1])
    assert [len(half) > 0 for half in halves] == [True, True]


def test_entries_of_another_subtask_s_key_groups_are_passed_over(tmp_path):
    """After a change of parallelism the files hold more key groups than the subtask has."""
    with open_state(str(unpacked("incremental", tmp_path))) as state:
        everyone = {user.user_id for user in state.users()}
        groups = {user_id: state.key_group_of(user_id) for user_id in everyone}
    with open_state(str(unpacked("incremental", tmp_path))) as state:
        (learn,) = [each for each in state.metadata.operators if each.uid == "learn-and-recommend"]
        border = sorted(groups.values())[2]
        first = RocksFiles(range(border), learn.keyed[0].description, learn.keyed[0].files, learn.keyed[0].shared)
        learn.keyed[0] = first
        found = {user.user_id for user in state.users()}
    assert found == {user_id for user_id, group in groups.items() if group < border or group >= 64}


def test_a_moved_checkpoint_without_what_it_shares_is_answered(tmp_path):
    place = unpacked("incremental", tmp_path)
    shutil.rmtree(place.parent / "shared")
    with open_state(str(place)) as state, pytest.raises(InspectError, match="is missing") as error:
        list(state.users())
    assert error.value.code == "LT-INS-103"


def test_local_files_are_linked_and_never_copied(tmp_path):
    with open_state(str(unpacked("incremental", tmp_path))) as state:
        list(state.users())
        subtask = next(state._subtasks(state._learn))
        large = [path for path in _directory(subtask).iterdir() if path.name.startswith("OPTIONS")]
        assert [path.is_symlink() for path in large] == [True]
        directory = _directory(subtask)
    assert not directory.exists()


def _directory(subtask):
    from pathlib import Path

    return Path(subtask._directory.name)


def test_the_file_named_metadata_may_be_named_too(tmp_path):
    place = unpacked("canonical", tmp_path)
    with open_state(f"{place.as_uri()}/_metadata") as state:
        assert sum(1 for _ in state.users()) == 6


# ---- damage ------------------------------------------------------------------------------------


def damaged(code, act):
    with pytest.raises(InspectError) as error:
        act()
    assert error.value.code == code
    assert error.value.cure
    return str(error.value)


def test_a_directory_without_metadata_is_answered(tmp_path):
    assert "was never completed" in damaged("LT-INS-101", lambda: open_state(str(tmp_path)))


def test_a_truncated_metadata_is_answered(tmp_path):
    place = unpacked("canonical", tmp_path)
    blob = (place / "_metadata").read_bytes()
    for size in range(0, len(blob) - 700, 997):  # behind that come the properties, which are not parsed
        (place / "_metadata").write_bytes(blob[:size])
        damaged("LT-INS-109", lambda: open_state(str(place)))


def test_another_job_s_state_is_answered(tmp_path):
    place = unpacked("canonical", tmp_path)
    blob = (place / "_metadata").read_bytes()
    (place / "_metadata").write_bytes(blob.replace(b"learn-and-recommend", b"count-and-summarise"))
    assert "another job's" in damaged("LT-INS-102", lambda: open_state(str(place)))


def test_a_file_cut_off_is_answered(tmp_path):
    place = unpacked("incremental", tmp_path)
    for file in (place.parent / "shared").iterdir():
        os.truncate(file, file.stat().st_size - 1)
    with open_state(str(place)) as state:
        damaged("LT-INS-104", lambda: list(state.users()))


def test_swapped_files_of_equal_size_are_answered(tmp_path):
    place = unpacked("incremental", tmp_path)
    (place / "_metadata").write_bytes(_without_manifest((place / "_metadata").read_bytes()))
    with open_state(str(place)) as state:
        assert "RocksDB" in damaged("LT-INS-107", lambda: list(state.users()))


def _without_manifest(metadata: bytes) -> bytes:
    """The manifests lie in the metadata, since they are small; here their content is zeros."""
    for operator in read_metadata(metadata).operators:
        for state in operator.keyed:
            for name, file in state.files:
                if name.startswith("MANIFEST"):
                    metadata = metadata.replace(file.content, bytes(file.size))
    return metadata


def test_a_pickle_is_never_run(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    pickled = pickle.dumps(Malicious())
    value = struct.pack(">i", len(pickled)) + pickled
    assert "nothing of it was run" in damaged("LT-INS-201", lambda: pickled_bytes(value, 0))
    assert not (tmp_path / "ran").exists()


# ---- Flink's bytes -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 255, 256, 2_192, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("protocol", [4, 5])
def test_bytes_of_any_size_are_taken_from_their_pickle(size, protocol):
    blob = bytes(n % 251 for n in range(size))
    pickled = pickle.dumps(blob, protocol)
    assert pickled_bytes(b"12345678" + struct.pack(">i", len(pickled)) + pickled, 8) == blob


@pytest.mark.parametrize("thing", [None, "text", 5, ["list"], (b"a", b"b"), bytearray(b"x"), {b"k": b"v"}, print])
def test_a_pickle_of_something_else_is_refused(thing):
    damaged("LT-INS-201", lambda: unpickled(pickle.dumps(thing)))


def test_a_pickle_that_ends_early_is_refused():
    pickled = pickle.dumps(b"x" * 300)
    for size in range(len(pickled)):
        damaged("LT-INS-201", lambda size=size: unpickled(pickled[:size]))


@pytest.mark.parametrize("text", ["", "dTE=", "a" * 126, "a" * 127, "a" * 200, "ü☃😀", "\x00", "x" * 40_000])
@pytest.mark.parametrize("max_parallelism", [128, 720])
def test_a_key_is_read_as_it_is_written(text, max_parallelism):
    assert text_of_key(key_bytes(text, max_parallelism), wide=max_parallelism > 128) == text


def test_a_key_of_something_else_is_refused():
    for key in (b"", b"\x00", b"\x00\x00", b"\x00\x00\x05abc", b"\x00\x00\x05abcd\x00\x00", b"\x00\x00\xff\xff\xff"):
        damaged("LT-INS-201", lambda key=key: text_of_key(key, wide=False))


def test_compressed_key_groups_are_read_like_plain_ones():
    data = os.urandom(70_000) + bytes(100_000)
    frames = b"\xff\x06\x00\x00sNaPpY"
    for at in range(0, len(data), 65_536):
        piece = data[at : at + 65_536]
        packed = pyarrow.Codec("snappy").compress(piece, asbytes=True)
        kind, body = (b"\x00", packed) if len(packed) < len(piece) else (b"\x01", piece)
        frames += kind + (len(body) + 4).to_bytes(3, "little") + b"crc!" + body
    assert read_frames(frames) == data
    for size in range(11, len(frames), 5_003):
        with pytest.raises(BrokenFrames):
            read_frames(frames[:size])


def test_a_checkpoint_of_the_heap_backend_is_answered(tmp_path):
    (tmp_path / "file").write_bytes(b"heap")
    state = StreamedGroups(0, (0,), StateFile("file", 4, relative=True), of_savepoint=False)
    files = StateFiles(str(tmp_path))
    assert "hashmap" in damaged("LT-INS-108", lambda: FullState(files, state, 128, "learn-and-recommend"))


def test_the_fixtures_have_the_dimension_of_the_made_up_world(place):
    with open_state(str(place)) as state:
        assert {len(decode_user_state(user.blob).embedding) for user in state.users()} == {MODEL.dimension}
