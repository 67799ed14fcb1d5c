"""What each operation does, in which order: look first, refuse before anything has changed, then stop, then submit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flink_jobs.settings import InvalidSettings, JobSettings
from livetower.errors import CannotGoOn
from livetower.operations.differences import Difference, blob_differences, differences, uid_differences
from livetower.operations.flink_job import FlinkJob, the_job
from livetower.operations.found_state import BrokenState, find_states, newest_verified, verify
from livetower.operations.job_record import JobRecord, NoRecord, facts_of_state, record_of, write_beside
from livetower.operations.metadata import Metadata, UnreadableMetadata
from livetower.operations.settings_again import flat, job_arguments, settings_again
from livetower.operations.snapshot_copies import IncompleteCopy, copy_back, copy_beside
from livetower.sandbox import Sandbox, SandboxError
from operators.code_digest import code_digest


@dataclass(frozen=True, slots=True)
class Changes:
    """What the caller wants other than it was."""

    file: Path | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """A savepoint that Flink has completed; `incomplete` says what could not be put beside it, '' if all could."""

    job_id: str
    savepoint: str
    snapshots: tuple[str, ...]
    incomplete: str = ""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A job that runs again."""

    job_id: str
    state: str
    stepped_over: tuple[tuple[str, str], ...] = ()
    saved: Saved | None = None  # the savepoint that it was stopped with


def save(job: FlinkJob, directory: str | None, timeout_s: float, *, stop: bool) -> Saved:
    """Take a savepoint, stop with it or not, and put beside it what a restore elsewhere needs."""
    facts = job.facts()  # while Flink knows the job
    savepoint = (job.stop if stop else job.savepoint)(directory, timeout_s)
    try:
        metadata = verify(savepoint)
        write_beside(savepoint, facts)
        root = str(record_of(facts).settings["job"]["snapshot_root"])
        copied = copy_beside(savepoint, metadata, root)
    except (BrokenState, IncompleteCopy, NoRecord, UnreadableMetadata, OSError) as error:
        return Saved(job.job_id, savepoint, (), str(error))
    return Saved(job.job_id, savepoint, tuple(copied))


def resume(sandbox: Sandbox, roots: Iterable[str], changes: Changes) -> Resumed:
    """Start from the newest checkpoint or savepoint that verifies. Raises CannotGoOn, SandboxError."""
    require_nothing_runs(sandbox)
    state, _, stepped_over = find(roots)
    settings = settings_of_state(sandbox, state, changes)
    return Resumed(submit(sandbox, state, settings, changes.file), state, stepped_over)


def find(roots: Iterable[str]) -> tuple[str, Metadata, tuple[tuple[str, str], ...]]:
    """The newest state that verifies, and what was stepped over. Raises CannotGoOn."""
    told = list(roots)
    states = find_states(told)
    if not states:
        raise CannotGoOn(f"a checkpoint or savepoint was needed below {', '.join(told)}; there is none: --state DIR")
    try:
        found = newest_verified(states)
    except BrokenState as error:
        raise CannotGoOn(str(error)) from error
    return found.uri, found.metadata, found.stepped_over


def upgrade(sandbox: Sandbox, job: FlinkJob, changes: Changes, timeout_s: float) -> Resumed:
    """Stop with a savepoint and go on from it with the code here. Raises CannotGoOn before the job has stopped if the
    state could not follow.
    """
    facts = record_of_job(job)
    settings = new_settings(sandbox, facts, changes)
    require_none_refused(differences(facts, flat(settings), code_digest()))
    return stop_and_go_on(sandbox, job, settings, changes.file, timeout_s)


def rescale(sandbox: Sandbox, job: FlinkJob, parallelism: int, changes: Changes, timeout_s: float) -> Resumed:
    """Go on from a savepoint with another number of subtasks; TaskManagers that are missing are started first."""
    with_it = Changes(changes.file, (*changes.overrides, f"job.parallelism={parallelism}"))
    facts = record_of_job(job)
    settings = new_settings(sandbox, facts, with_it)
    require_none_refused(differences(facts, flat(settings), code_digest()))
    sandbox.up(taskmanagers=parallelism + 1)
    return stop_and_go_on(sandbox, job, settings, changes.file, timeout_s)


def go_back(sandbox: Sandbox, job_id: str | None, savepoint: str, changes: Changes, timeout_s: float) -> Resumed:
    """Go on from an earlier savepoint or checkpoint; a job that runs is stopped first, with a savepoint of its own."""
    try:
        metadata = verify(savepoint)
    except BrokenState as error:
        raise CannotGoOn(f"{savepoint} cannot be started from: {error}") from error
    require_none_refused(uid_differences(metadata.uids_with_state()))
    settings = settings_of_state(sandbox, savepoint, changes)
    saved = None
    if job_id is not None or sandbox.unfinished_jobs():
        saved = save(the_job(sandbox.rest_url, job_id), None, timeout_s, stop=True)
    return Resumed(submit(sandbox, savepoint, settings, changes.file), savepoint, saved=saved)


# ---- parts ---------------------------------------------------------------------------------------


def stop_and_go_on(
    sandbox: Sandbox, job: FlinkJob, settings: JobSettings, file: Path | None, timeout_s: float
) -> Resumed:
    """Stop with a savepoint, and submit from it."""
    saved = save(job, None, timeout_s, stop=True)
    try:
        metadata = verify(saved.savepoint)
        require_none_refused(uid_differences(metadata.uids_with_state()))
        job_id = submit(sandbox, saved.savepoint, settings, file)
    except (BrokenState, CannotGoOn, SandboxError) as error:
        raise CannotGoOn(
            f"{error}\nNothing is lost: the job stopped with savepoint {saved.savepoint}. `livetower resume` goes on "
            "with what it was before, once the code is as it was"
        ) from error
    return Resumed(job_id, saved.savepoint, saved=saved)


def submit(sandbox: Sandbox, state: str, settings: JobSettings, file: Path | None) -> str:
    """Submit the code here from a state, its snapshot files back in place; returns the job's id."""
    try:
        copy_back(state, settings.job.snapshot_root)
        return sandbox.submit(*job_arguments(settings, file), from_savepoint=state)
    except InvalidSettings as error:
        raise CannotGoOn(str(error)) from error
    except OSError as error:
        raise CannotGoOn(f"the snapshot files beside {state} cannot be put back: {error}") from error


def new_settings(sandbox: Sandbox | None, record: JobRecord, changes: Changes) -> JobSettings:
    """The job's settings with the changes; the broker is the sandbox's, whose port may be another by now."""
    place = {}
    recorded = str(record.settings["kafka"]["bootstrap_servers"])
    if sandbox is not None and recorded.startswith(("127.0.0.1:", "localhost:")):
        place["kafka.bootstrap_servers"] = sandbox.bootstrap_servers
    try:
        settings = settings_again(record.settings, changes.file, changes.overrides, place)
        job_arguments(settings, changes.file)  # refused now rather than after the job has stopped
    except InvalidSettings as error:
        raise CannotGoOn(str(error)) from error
    return settings


def settings_of_state(sandbox: Sandbox, state: str, changes: Changes) -> JobSettings:
    """The settings of the job that wrote a state, with the changes; its blobs must be ones that the code here reads."""
    try:
        record = record_of(facts_of_state(state, sandbox.run_dir))
    except NoRecord as error:
        if changes.file is None:
            raise CannotGoOn(f"{error}: give them with --settings FILE") from error
        place = {
            "kafka": {"bootstrap_servers": sandbox.bootstrap_servers},
            "job": {"snapshot_root": str(sandbox.snapshot_root)},
        }
        record = JobRecord(place, "", (), {})
    else:
        require_none_refused(blob_differences(record.blobs))
    return new_settings(sandbox, record, changes)


def record_of_job(job: FlinkJob) -> JobRecord:
    """What the running job was submitted as. Raises CannotGoOn."""
    try:
        return record_of(job.facts())
    except NoRecord as error:
        raise CannotGoOn(
            f"job {job.job_id}: {error}: `livetower stop`, then `livetower resume --settings FILE` with its settings"
        ) from error


def require_none_refused(found: Iterable[Difference]) -> None:
    """Raise CannotGoOn with every difference that the state cannot follow."""
    refused = [each for each in found if each.refused]
    if refused:
        lines = "; ".join(f"{e.kind} {e.name}: was {e.running!r}, here {e.here!r}: {e.refused}" for e in refused)
        raise CannotGoOn(f"the state cannot go on here, and nothing was changed: {lines}")


def require_nothing_runs(sandbox: Sandbox) -> None:
    """Raise CannotGoOn when a job runs: a second one would learn every event twice."""
    if running := sandbox.unfinished_jobs():
        raise CannotGoOn(f"no running job was needed; got {', '.join(running)}: `livetower stop` first")


def roots_of(sandbox: Sandbox) -> Mapping[str, str]:
    """Where a sandbox's checkpoints and savepoints are."""
    return {name: (sandbox.run_dir / name).as_uri() for name in ("checkpoints", "savepoints")}
