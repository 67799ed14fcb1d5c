"""Every kind of damage is one clear line with a code, a cause and a cure, and never a traceback."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import rocksdict
from click.testing import CliRunner, Result
from made_up import snapshot
from made_up_state import in_bytes, in_file, int32, int64, metadata, operator, text, write_metadata
from real_states import replace_bytes, unpacked, with_files_of_their_own
from restricted import ROOT, modes_count, run

from livetower.cli import main
from livetower.inspect.reading import open_state
from livetower.operations.metadata import RocksFiles


def verify(path: Path | str, *words: str) -> Result:
    result = CliRunner().invoke(main, ["inspect", "verify", str(path), *words])
    assert "Traceback" not in result.output
    return result


def own_settings(state: Path) -> list[str]:
    """The settings of the job that wrote a state of tests/fixtures/states, as far as a state must follow them."""
    (whole,) = {topic for topic, _ in open_state(str(state)).offsets() if topic.endswith("interactions")}
    prefix = whole.removesuffix("interactions")
    topics = [f"topics.{name}={prefix}{name}" for name in TOPICS]
    told = ("job.snapshot_root=/snapshots", "model.dimension=8", *topics)
    return [word for setting in told for word in ("--set", setting)]


TOPICS = ("interactions", "items", "item_snapshots", "commands")


def learn_files(state: Path) -> list[RocksFiles]:
    """The files of learn-and-recommend's subtasks."""
    opened = open_state(str(state))
    return [each for op in opened.metadata.operators if op.uid == "learn-and-recommend" for each in op.keyed]


def tables(state: Path) -> list[Path]:
    """RocksDB tables of its users that are files of their own."""
    return [
        Path(file.path.removeprefix("file:"))
        for keyed in learn_files(state)
        for name, file in keyed.files
        if name.endswith(".sst") and file.content is None
    ]


# ---- the damage ----------------------------------------------------------------------------------


def with_truncated_metadata(folder: Path) -> Path:
    state = unpacked("canonical", folder)
    (state / "_metadata").write_bytes((state / "_metadata").read_bytes()[:20_000])
    return state


def with_metadata_of_something_else(folder: Path) -> Path:
    state = unpacked("canonical", folder)
    (state / "_metadata").write_bytes(b"PAR1" * 100)
    return state


def with_a_missing_table(folder: Path) -> Path:
    state = with_files_of_their_own(unpacked("incremental", folder))
    tables(state)[0].unlink()
    return state


def with_a_table_cut_short(folder: Path) -> Path:
    state = with_files_of_their_own(unpacked("incremental", folder))
    table = tables(state)[0]
    table.write_bytes(table.read_bytes()[:-1])
    return state


def with_two_tables_swapped(folder: Path) -> Path:
    state = with_files_of_their_own(unpacked("incremental", folder))
    one, other = tables(state)[:2]
    shutil.move(one, folder / "aside")
    shutil.move(other, one)
    shutil.move(folder / "aside", other)
    return state


def with_a_table_without_its_end(folder: Path) -> Path:
    state = with_files_of_their_own(unpacked("incremental", folder))
    table = tables(state)[0]
    table.write_bytes(table.read_bytes()[:-8] + bytes(8))
    return state


def with_a_byte_changed_in_a_table(folder: Path) -> Path:
    state = with_files_of_their_own(unpacked("incremental", folder))
    table = tables(state)[0]
    content = bytearray(table.read_bytes())
    content[40] ^= 0xFF
    table.write_bytes(content)
    return state


def with_garbage_in_place_of_users(folder: Path) -> Path:
    state = unpacked("canonical", folder)
    replace_bytes(state, b"LTU2", b"JUNK")
    return state


def with_one_user_of_a_newer_version(folder: Path) -> Path:
    state = unpacked("canonical", folder)
    replace_bytes(state, b"LTU2", b"LTU9", 1)
    return state


def with_a_tower_input_of_a_newer_version(folder: Path) -> Path:
    state = unpacked("canonical", folder)
    replace_bytes(state, b"LTI1", b"LTI7")
    return state


def with_a_pickle_that_would_run_a_command(folder: Path) -> Path:
    state = unpacked("canonical", folder)
    content = (state / "_metadata").read_bytes()
    at = content.rfind(b"\x80", 0, content.index(b"LTU2"))
    size = int.from_bytes(content[at - 4 : at], "big")
    evil = f"cos\nsystem\n(S'touch {folder / 'it-ran'}'\ntR.".encode()
    assert len(evil) < size < 1_000
    (state / "_metadata").write_bytes(content[:at] + evil.ljust(size, b".") + content[at + size :])
    return state


def of_another_job(folder: Path) -> Path:
    write_metadata(folder / "chk-1", metadata(operator("count-words")), 1)
    return folder / "chk-1"


def of_process_mode(folder: Path) -> Path:
    """Users under the name that PyFlink's process mode gives a state, in a RocksDB of today's writer."""
    description = learn_files(unpacked("native", folder / "thread"))[0].description.content
    assert description is not None
    name = text("user")
    assert description.count(name) == 1
    options = rocksdict.Options(raw_mode=True)
    database = rocksdict.Rdict(str(folder / "rocks"), options)
    database.create_column_family("python-state-user", rocksdict.Options(raw_mode=True)).put(b"\0key", b"value")
    database.close()
    files = [file for file in sorted((folder / "rocks").iterdir()) if file.name.split("-")[0] in ROCKS]
    files += sorted((folder / "rocks").glob("*.sst"))
    handles = b"".join(text(file.name) + in_file(file) for file in files)
    head = b"\x0b" + int64(3) + text("backend") + int32(0) + int32(128) + int64(1)
    described = in_bytes(description.replace(name, text("python-state-user")))
    keyed = head + described + int32(len(files)) + handles + int32(0) + text("handle-id")
    both = metadata(operator("learn-and-recommend", keyed=keyed), operator("train-item-tower"))
    write_metadata(folder / "chk-1", both, 1)
    return folder / "chk-1"


ROCKS = ("CURRENT", "MANIFEST", "OPTIONS", "IDENTITY")


def with_operators_that_this_code_lacks(folder: Path) -> Path:
    state = unpacked("canonical", folder)
    replace_bytes(state, text("train-item-tower"), text("train-user-tower"))
    return state


def without_the_snapshot_it_names(folder: Path) -> Path:
    return unpacked("canonical", folder)


def with_other_bytes_in_the_snapshot_it_names(folder: Path) -> Path:
    state = unpacked("canonical", folder)
    (announcement,) = [v for k, v in open_state(str(state)).announcements().items() if k == "full"]
    file = state / "snapshots" / json.loads(announcement)["file"]
    file.parent.mkdir()
    file.write_bytes(snapshot())
    return state


def that_is_an_empty_directory(folder: Path) -> Path:
    (folder / "chk-9").mkdir(parents=True)
    return folder / "chk-9"


def that_is_a_file(folder: Path) -> Path:
    folder.mkdir()
    (folder / "chk-9").write_bytes(b"")
    return folder / "chk-9"


def that_is_not_there(folder: Path) -> Path:
    return folder / "chk-9"


def written_by_the_heap_backend(folder: Path) -> Path:
    keyed = b"\x03" + int32(0) + int32(1) + int64(0) + in_bytes(b"heap")
    both = metadata(operator("learn-and-recommend", keyed=keyed), operator("train-item-tower"))
    write_metadata(folder / "chk-1", both, 1)
    return folder / "chk-1"


@dataclass(frozen=True)
class Expected:
    code: str
    cause: str
    exit_code: int = 1
    words: tuple[str, ...] = ()


DAMAGE: dict[Callable[[Path], Path], Expected] = {
    with_truncated_metadata: Expected("LT-INS-105", "_metadata is broken: it ends too early", 2),
    with_metadata_of_something_else: Expected("LT-INS-105", "it must begin with 4960672d", 2),
    of_another_job: Expected("LT-INS-106", "it has no operator learn-and-recommend", 2),
    that_is_an_empty_directory: Expected("LT-INS-103", "it has no _metadata", 2),
    that_is_a_file: Expected("LT-INS-102", "got a file", 2),
    that_is_not_there: Expected("LT-INS-101", "there is nothing", 2),
    with_a_missing_table: Expected("LT-INS-107", "is missing"),
    with_a_table_cut_short: Expected("LT-INS-108", "bytes of"),
    with_two_tables_swapped: Expected("LT-INS-108", "bytes of"),
    with_a_table_without_its_end: Expected("LT-INS-109", "it ends in 0000000000000000"),
    with_a_byte_changed_in_a_table: Expected("LT-INS-109", "RocksDB cannot read its files", 1, ("--deep",)),
    with_garbage_in_place_of_users: Expected("LT-INS-201", "so are 5 more of 6 users"),
    with_one_user_of_a_newer_version: Expected("LT-INS-202", "LTU9"),
    with_a_tower_input_of_a_newer_version: Expected("LT-INS-202", "LTI7"),
    with_a_pickle_that_would_run_a_command: Expected("LT-INS-203", "a pickle of bytes was needed"),
    of_process_mode: Expected("LT-INS-110", "learn-and-recommend: python-state-user"),
    with_operators_that_this_code_lacks: Expected("LT-INS-106", "train-item-tower", 2),
    written_by_the_heap_backend: Expected("LT-INS-117", "heap backend"),
    without_the_snapshot_it_names: Expected("LT-INS-405", "was needed; looked in", 1, ("--strict",)),
    with_other_bytes_in_the_snapshot_it_names: Expected("LT-INS-406", "not those announced", 1, ("--strict",)),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_state_is_one_clear_line_with_code_cause_and_cure(tmp_path, damage):
    expected, folder = DAMAGE[damage], tmp_path / "state"
    path = damage(folder)
    result = verify(path, *expected.words)
    assert result.exit_code == expected.exit_code, result.output
    lines = [line for line in result.output.splitlines() if expected.code in line]
    assert len(lines) >= 1, result.output
    assert expected.cause in lines[0], result.output
    if expected.exit_code == 2:
        assert result.stdout == ""
        assert result.stderr.startswith("livetower inspect: ")
        assert len(result.stderr.splitlines()) == 1
    else:
        answer = json.loads(verify(path, *expected.words, "--json").stdout)
        found = [each for each in answer["findings"] if each["code"] == expected.code]
        assert found
        assert all(each["cure"] for each in found)
    assert not (folder / "it-ran").exists()


@pytest.mark.parametrize("command", ["", "--deep"])
def test_a_broken_state_whose_metadata_may_not_be_read_is_one_line(tmp_path, command):
    state = unpacked("canonical", tmp_path / "state")
    (state / "_metadata").chmod(0o000)
    words = [sys.executable, "-m", "livetower.cli", "inspect", "verify", state, *([command] if command else [])]
    result = run(modes_count(words), PYTHONPATH=str(ROOT))
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("livetower inspect: LT-INS-104: ")
    assert "Permission denied" in line


def test_debug_shows_the_traceback_behind_the_line(tmp_path):
    result = CliRunner().invoke(main, ["inspect", "--debug", "verify", str(tmp_path)])
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("livetower inspect: LT-INS-103: ")


# ---- whole ones ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["canonical", "native", "incremental", "full"])
def test_a_whole_state_of_every_kind_would_be_restored(tmp_path, kind):
    state = unpacked(kind, tmp_path / "state")
    answer = json.loads(verify(state, "--deep", *own_settings(state), "--json").stdout)
    assert answer["broken"] == 0, answer
    # The pinned job's snapshot files are gone, and it had one lane only.
    assert {each["code"] for each in answer["findings"]} <= {"LT-INS-405", "LT-INS-112"}, answer
    assert answer["unseen"] == []


@pytest.mark.parametrize(
    ("setting", "cause"),
    [
        ("model.dimension=16", "model.dimension: the state was written with 8; the next start has 16"),
        ("job.max_parallelism=256", "job.max_parallelism: the state was written with 128; the next start has 256"),
        ("topics.interactions=plays", "-interactions'; the next start reads"),
    ],
)
def test_a_setting_that_the_state_cannot_follow_is_named(tmp_path, setting, cause):
    state = unpacked("canonical", tmp_path / "state")
    result = verify(state, *own_settings(state), "--set", setting, "--json")
    assert result.exit_code == 1
    (found,) = [each for each in json.loads(result.stdout)["findings"] if each["code"] == "LT-INS-114"]
    assert cause in found["cause"]
