"""Which checkpoint or savepoint a job resumes from: the newest that verifies, whatever has happened to newer ones."""

import os
import shutil

import pytest
from made_up_state import (
    NOTHING,
    beside,
    canonical,
    checkpoint,
    in_file,
    int32,
    metadata,
    operator,
    write_metadata,
)

from livetower.operations.found_state import BrokenState, find_states, newest_verified, verify
from livetower.operations.metadata import UnreadableMetadata, read_metadata

JOB = "a" * 32


def names(states):
    return [state.uri.rsplit("/", 1)[1] for state in states]


def resumed_from(root):
    return newest_verified(find_states([str(root)]))


def test_metadata_says_its_operators_and_every_file_once(tmp_path):
    directory = checkpoint(tmp_path, 3)
    read = read_metadata((directory / "_metadata").read_bytes())
    assert read.checkpoint_id == 3
    assert [(each.uid, each.parallelism, each.max_parallelism) for each in read.operators] == [
        ("learn-and-recommend", 1, 128),
        ("train-item-tower", 1, 128),
    ]
    shared = f"file:{tmp_path}/{JOB}/shared/sst-3"
    assert [(file.path, file.size, file.relative) for file in read.files()] == [("own", 50, True), (shared, 100, False)]
    assert read.uids_with_state() == {"learn-and-recommend"}


def test_a_whole_checkpoint_verifies(tmp_path):
    assert verify(str(checkpoint(tmp_path, 3))).checkpoint_id == 3


def test_a_canonical_savepoint_verifies(tmp_path):
    (tmp_path / "own").write_bytes(b"x" * 9)
    learn = operator("learn-and-recommend", keyed=canonical(beside("own", 9)))
    write_metadata(tmp_path, metadata(learn), 1)
    assert [file.path for file in verify(str(tmp_path)).files()] == ["own"]


def without_metadata(directory):
    (directory / "_metadata").unlink()


def emptied(directory):
    shutil.rmtree(directory)
    directory.mkdir()


def with_empty_metadata(directory):
    (directory / "_metadata").write_bytes(b"")


def cut_short(directory):
    file = directory / "_metadata"
    file.write_bytes(file.read_bytes()[:200])


def cut_before_its_properties(directory):
    file = directory / "_metadata"
    file.write_bytes(file.read_bytes()[:-9])


def overwritten(directory):
    (directory / "_metadata").write_bytes(b"not metadata at all, but long enough to be looked at")


def of_an_older_flink(directory):
    file = directory / "_metadata"
    file.write_bytes(file.read_bytes()[:4] + int32(4) + file.read_bytes()[8:])


def without_its_own_file(directory):
    (directory / "own").unlink()


def without_a_shared_file(directory):
    (directory.parent / "shared" / "sst-3").unlink()


def with_a_shared_file_cut_short(directory):
    (directory.parent / "shared" / "sst-3").write_bytes(b"s" * 99)


def with_a_folder_in_place_of_a_file(directory):
    (directory / "own").unlink()
    (directory / "own").mkdir()


def of_another_job(directory):
    (directory / "_metadata").write_bytes(metadata(operator("somebody-elses")))


def with_a_senseless_count(directory):
    file = directory / "_metadata"
    file.write_bytes(file.read_bytes()[:20] + b"\x7f\xff\xff\xff" + file.read_bytes()[24:])


DAMAGE = {
    without_metadata: "it has no _metadata: it was never completed",
    emptied: "it has no _metadata: it was never completed",
    with_empty_metadata: "its _metadata is broken: it is empty",
    cut_short: "its _metadata is broken: it ends too early",
    cut_before_its_properties: "its _metadata is broken: it ends too early: 2 bytes were needed",
    overwritten: "its _metadata is broken: it must begin with 4960672d; got 6e6f7420",
    of_an_older_flink: "its _metadata is broken: version 5 or 6 was needed, as Flink 2 writes it; got 4",
    without_its_own_file: "chk-3/own is missing",
    without_a_shared_file: "shared/sst-3 is missing",
    with_a_shared_file_cut_short: "shared/sst-3 has 99 bytes of 100",
    with_a_folder_in_place_of_a_file: "chk-3/own is missing",
    of_another_job: "it is another job's: it has no learn-and-recommend",
    with_a_senseless_count: "its _metadata is broken: a count of 2147483647 at byte 20",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_broken_newest_checkpoint_is_stepped_over_and_named(tmp_path, damage):
    checkpoint(tmp_path, 2)
    newest = checkpoint(tmp_path, 3)
    damage(newest)
    os.utime(newest, (10, 10))
    found = resumed_from(tmp_path)
    assert found.uri == str(tmp_path / JOB / "chk-2")
    ((stepped, why),) = found.stepped_over
    assert stepped == str(newest)
    assert DAMAGE[damage] in why


def test_a_checkpoint_in_progress_is_stepped_over(tmp_path):
    checkpoint(tmp_path, 2)
    (tmp_path / JOB / "chk-3").mkdir()
    (tmp_path / JOB / "chk-3" / "half").write_bytes(b"x")
    assert [uri[-5:] for uri, _ in resumed_from(tmp_path).stepped_over] == ["chk-3"]


def test_two_broken_ones_are_stepped_over_in_their_order(tmp_path):
    for number in (1, 2, 3):
        checkpoint(tmp_path, number)
    for number in (2, 3):
        with_empty_metadata(tmp_path / JOB / f"chk-{number}")
        os.utime(tmp_path / JOB / f"chk-{number}" / "_metadata", (number, number))
    found = resumed_from(tmp_path)
    assert found.metadata.checkpoint_id == 1
    assert [uri[-5:] for uri, _ in found.stepped_over] == ["chk-3", "chk-2"]


def test_nothing_that_verifies_is_one_sentence_and_a_line_for_each(tmp_path):
    for number in (1, 2):
        without_its_own_file(checkpoint(tmp_path, number))
    with pytest.raises(
        BrokenState,
        match=r"none of 2 checkpoints and savepoints can be started from(\n  .*chk-\d: .*own is missing){2}$",
    ):
        resumed_from(tmp_path)


def test_the_newest_is_found_among_jobs_checkpoints_and_savepoints(tmp_path):
    checkpoint(tmp_path / "checkpoints", 7, job="a" * 32, written_s=100)
    checkpoint(tmp_path / "checkpoints", 2, job="b" * 32, written_s=300)
    learn = operator("learn-and-recommend")
    write_metadata(tmp_path / "savepoints" / "savepoint-c", metadata(learn), 200)
    states = find_states([str(tmp_path / "checkpoints"), str(tmp_path / "savepoints")])
    assert names(states) == ["chk-2", "savepoint-c", "chk-7"]


def test_of_two_written_in_the_same_instant_the_higher_number_is_newer(tmp_path):
    for number in (10, 9):
        checkpoint(tmp_path, number, written_s=5)
    assert names(find_states([str(tmp_path)])) == ["chk-10", "chk-9"]


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_a_root_may_be_the_state_itself_its_job_or_all_jobs(tmp_path, levels):
    directory = checkpoint(tmp_path, 4)
    root = [directory, directory.parent, tmp_path][levels]
    assert names(find_states([root.as_uri()])) == ["chk-4"]


def test_a_root_that_is_not_there_holds_nothing(tmp_path):
    assert find_states([str(tmp_path / "none")]) == []


def test_every_cut_of_a_metadata_is_unreadable_and_no_other_error(tmp_path):
    blob = (checkpoint(tmp_path, 3) / "_metadata").read_bytes()
    end = blob.index(b"\xac\xed")
    for size in range(end + 1):
        with pytest.raises(UnreadableMetadata):
            read_metadata(blob[:size])


def test_content_of_channels_is_refused(tmp_path):
    head = operator("learn-and-recommend")[: -len(int32(0) * 2)]
    with pytest.raises(UnreadableMetadata, match="content of channels"):
        read_metadata(metadata(head + int32(1) + NOTHING * 40))


def test_a_file_that_a_state_shares_with_an_older_one_is_named_by_its_uri(tmp_path):
    file = tmp_path / "elsewhere"
    file.write_bytes(b"123")
    learn = operator("learn-and-recommend", keyed=canonical(in_file(file)))
    write_metadata(tmp_path / "chk-1", metadata(learn), 1)
    assert verify(str(tmp_path / "chk-1")).checkpoint_id == 3
    file.unlink()
    with pytest.raises(BrokenState, match="elsewhere is missing"):
        verify(str(tmp_path / "chk-1"))
