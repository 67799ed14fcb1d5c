"""The commands `savepoint`, `stop`, `resume`, `upgrade`, `rescale` and `rollback`: they parse and print.

What is done stands in steps.py.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import click

from livetower.command import bootstrap_option, new_id, run_dir_option, send, topic_option
from livetower.errors import CannotGoOn
from livetower.sandbox.errors import SandboxError
from livetower.sandbox.submission import absolute_place

if TYPE_CHECKING:
    from livetower.operations.differences import Difference
    from livetower.operations.steps import Resumed
    from livetower.sandbox import Sandbox

REFUSED_EXIT = 1

rest_option = click.option("--rest-url", metavar="URL", help="Flink's REST API of another cluster than the sandbox.")
job_option = click.option("--job", "job_id", metavar="ID", help="Default: the one running job that is named livetower.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the lines.")
timeout_option = click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), default=600.0, show_default=True,
    help="Seconds for a savepoint.",
)  # fmt: skip
to_option = click.option("--to", "directory", metavar="DIR", help="Directory of savepoints. Default: the cluster's.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
state_option = click.option(
    "--state", "roots", multiple=True, metavar="DIR",
    help="Where to look: a directory of checkpoints or savepoints, or one of them. Default: the sandbox's.",
)  # fmt: skip


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that change settings for the next submission."""
    file = click.option(
        "--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="TOML file, over what the job has."
    )
    overrides = click.option(
        "--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="One setting, after the file's."
    )
    return file(overrides(command))


def saved_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of what takes a savepoint and says where: which job, where to, how long, in which form."""
    for option in (json_option, timeout_option, to_option, job_option, rest_option, run_dir_option):
        command = option(command)
    return command


class Operation(click.Command):
    """A command whose failures that a person can cure are one message and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SandboxError as error:
            raise CannotGoOn(str(error)) from error
        except URLError as error:
            raise CannotGoOn(f"Flink does not answer ({error.reason}): `livetower ps` says what runs") from error
        except OSError as error:
            raise CannotGoOn(f"a file or directory cannot be used: {error}") from error


@dataclass(frozen=True, slots=True)
class Place:
    """The cluster: the sandbox, or another one by its REST API."""

    rest_url: str
    sandbox: "Sandbox | None"

    def the_sandbox(self, instead: str) -> "Sandbox":
        """The sandbox. Raises CannotGoOn elsewhere: a Python job is submitted by Flink's own command line."""
        if self.sandbox is None:
            raise CannotGoOn(f"submitting needs the sandbox; for {self.rest_url} {instead}")
        return self.sandbox


def place_of(run_dir: Path | None, rest_url: str | None) -> Place:
    """The cluster that the options name."""
    from livetower.sandbox import Sandbox

    if rest_url:
        return Place(rest_url.rstrip("/"), None)
    sandbox = Sandbox(run_dir)
    return Place(sandbox.rest_url, sandbox)


@click.command(cls=Operation)
@saved_options
def savepoint(**options: Any) -> None:
    """Take a savepoint of the running job, complete in itself.

    Beside Flink's files it holds `livetower.json`, the settings that the job runs with, and the item snapshots that
    its state names. The job goes on. Exit code 1: Flink has the savepoint, and something could not be put beside it.

    \b
      livetower savepoint
      livetower savepoint --to /backup/livetower
      livetower savepoint --rest-url http://flink:8081 --to s3://bucket/savepoints --json
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    save(**options, stop=False)


@click.command(cls=Operation)
@saved_options
def stop(**options: Any) -> None:
    """Stop the running job with a savepoint, as `livetower savepoint` takes it.

    No event after the savepoint is learned; those that come meanwhile wait in Kafka. `livetower resume` goes on.

    \b
      livetower stop
      livetower stop --rest-url http://flink:8081 --job 9df82a7420a02fba7655c83fd3bf1724
    """  # noqa: D301
    save(**options, stop=True)


@click.command(cls=Operation)
@run_dir_option
@state_option
@settings_options
@dry_run_option
@json_option
def resume(
    run_dir: Path | None,
    roots: tuple[str, ...],
    file: Path | None,
    overrides: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start the job again from the newest checkpoint or savepoint that verifies.

    One verifies when its _metadata can be read to its end and every file that it names is there in its size. Newer ones
    that do not are stepped over, and named. The settings are those that the job had.

    \b
      livetower resume
      livetower resume --dry-run --state s3://bucket/checkpoints      # on any cluster: which one, for flink run -s
      livetower resume --set tower.learning_rate=0.05
    """  # noqa: D301
    from livetower.operations import steps
    from livetower.sandbox import Sandbox

    if dry_run:
        where = roots or steps.roots_of(Sandbox(run_dir)).values()
        state, metadata, stepped_over = steps.find(where)
        found = {"state": state, "checkpoint_id": metadata.checkpoint_id, "stepped_over": stepped_over}
        show([*stepped_lines(stepped_over), f"would start from  {state}"], found, as_json)
        return
    sandbox = Sandbox(run_dir)
    where = roots or steps.roots_of(sandbox).values()
    show_resumed(steps.resume(sandbox, where, steps.Changes(file, overrides)), as_json)


@click.command(cls=Operation)
@run_dir_option
@rest_option
@job_option
@settings_options
@timeout_option
@dry_run_option
@json_option
def upgrade(
    run_dir: Path | None,
    rest_url: str | None,
    job_id: str | None,
    file: Path | None,
    overrides: tuple[str, ...],
    timeout_s: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Go on with the code here, or with other settings: savepoint, stop, submit from it.

    With --dry-run it prints how code, uids, blob versions and settings differ and changes nothing; exit code 1 says
    that the state could not follow. Without, such a difference is refused before the job stops.

    \b
      livetower upgrade --dry-run
      livetower upgrade
      livetower upgrade --set model.top_k=20
      livetower upgrade --dry-run --rest-url http://flink:8081 --settings shop.toml
    """  # noqa: D301
    from livetower.operations import steps
    from livetower.operations.differences import differences
    from livetower.operations.flink_job import the_job
    from livetower.operations.settings_again import flat
    from operators.code_digest import code_digest

    place, changes = place_of(run_dir, rest_url), steps.Changes(file, overrides)
    job = the_job(place.rest_url, job_id)
    if dry_run:
        record = steps.record_of_job(job)
        settings = steps.new_settings(place.sandbox, record, changes)
        show_differences(differences(record, flat(settings), code_digest()), as_json)
        return
    sandbox = place.the_sandbox("`livetower stop`, install the new wheel everywhere, then `flink run -s SAVEPOINT`")
    show_resumed(steps.upgrade(sandbox, job, changes, timeout_s), as_json)


@click.command(cls=Operation)
@run_dir_option
@job_option
@settings_options
@timeout_option
@json_option
@click.argument("parallelism", type=click.IntRange(min=1))
def rescale(
    run_dir: Path | None,
    job_id: str | None,
    file: Path | None,
    overrides: tuple[str, ...],
    timeout_s: float,
    as_json: bool,
    parallelism: int,
) -> None:
    """Go on with another number of subtasks of learn-and-recommend: savepoint, stop, submit from it.

    TaskManagers that are missing are started before the job stops. PARALLELISM is at most job.max_parallelism.

    \b
      livetower rescale 2
    """  # noqa: D301
    from livetower.operations import steps
    from livetower.operations.flink_job import the_job
    from livetower.sandbox import Sandbox

    sandbox = Sandbox(run_dir)
    job = the_job(sandbox.rest_url, job_id)
    changes = steps.Changes(file, overrides)
    show_resumed(steps.rescale(sandbox, job, parallelism, changes, timeout_s), as_json)


@click.command(cls=Operation)
@run_dir_option
@bootstrap_option
@topic_option
@job_option
@settings_options
@timeout_option
@json_option
@click.option(
    "--to", metavar="EPOCH-EVENTS", help="The full snapshot whose vectors come back. Default: the one before."
)
@click.option("--savepoint", "state", metavar="DIR", help="Go back with the whole job to this savepoint or checkpoint.")
def rollback(
    run_dir: Path | None,
    bootstrap_servers: str | None,
    topic: str,
    job_id: str | None,
    file: Path | None,
    overrides: tuple[str, ...],
    timeout_s: float,
    as_json: bool,
    to: str | None,
    state: str | None,
) -> None:
    """Go back: the item tower's vectors to an earlier snapshot, or the whole job to a savepoint.

    Without --savepoint it is `livetower command rollback`: a running job ranks with an earlier snapshot's vectors, in a
    new epoch, and users keep all they did. With it the job that runs stops with a savepoint of its own, by which you
    can return, and the older state goes on; events since then are read again from Kafka.

    \b
      livetower rollback
      livetower rollback --to 0-18000
      livetower rollback --savepoint .livetower/sandbox/savepoints/savepoint-9df82a-4c1f
    """  # noqa: D301
    from livetower.operations import steps
    from livetower.sandbox import Sandbox

    if state is not None:
        if to is not None:
            raise CannotGoOn("--to goes back with the vectors, --savepoint with the whole job: give one of them")
        sandbox = Sandbox(run_dir)
        changes = steps.Changes(file, overrides)
        show_resumed(steps.go_back(sandbox, job_id, state, changes, timeout_s), as_json)
        return
    from models.commands import Command, CommandKind, parse_to

    try:
        named = None if to is None else parse_to(to)
    except ValueError as error:
        raise CannotGoOn(f"--to: {error}") from error
    command_id = new_id()
    send(Command(CommandKind.ROLLBACK, command_id, named), run_dir, bootstrap_servers, file, topic)


# ---- what is printed -----------------------------------------------------------------------------


def save(
    run_dir: Path | None,
    rest_url: str | None,
    job_id: str | None,
    directory: str | None,
    timeout_s: float,
    as_json: bool,
    *,
    stop: bool,
) -> None:
    """Take the savepoint that `saved_options` ask for and say where it is.

    Exit code 1 when it is not complete in itself.
    """
    from livetower.operations import steps
    from livetower.operations.flink_job import the_job

    job = the_job(place_of(run_dir, rest_url).rest_url, job_id)
    saved = steps.save(job, absolute_place(directory) if directory else None, timeout_s, stop=stop)
    lines = [f"savepoint  {saved.savepoint}", f"snapshots  {len(saved.snapshots)} files beside it"]
    if saved.incomplete:
        lines[1] = f"incomplete {saved.incomplete}"
    show(lines, asdict(saved), as_json)
    if saved.incomplete:
        raise SystemExit(REFUSED_EXIT)


def show(lines: list[str], values: Any, as_json: bool) -> None:
    """Print lines for people, or one object for programs."""
    click.echo(json.dumps(values, ensure_ascii=False) if as_json else "\n".join(lines))


def show_resumed(resumed: "Resumed", as_json: bool) -> None:
    """Say what runs, from where, and what was stepped over."""
    lines = stepped_lines(resumed.stepped_over)
    if resumed.saved is not None and resumed.saved.savepoint != resumed.state:
        lines.append(f"stopped with  {resumed.saved.savepoint}")
    lines += [f"started from  {resumed.state}", f"job {resumed.job_id} running"]
    show(lines, asdict(resumed), as_json)


def stepped_lines(stepped_over: tuple[tuple[str, str], ...]) -> list[str]:
    """A line for each state that is newer and broken."""
    return [f"stepped over  {uri}: {why}" for uri, why in stepped_over]


def show_differences(found: "list[Difference]", as_json: bool) -> None:
    """Print the differences; exit code 1 when the state cannot follow one of them."""
    lines = [
        f"{each.kind:13} {each.name:28} {each.running!s:>16} -> {each.here!s:16}"
        + (f" REFUSED: {each.refused}" if each.refused else "")
        for each in found
    ]
    refused = [each for each in found if each.refused]
    show(
        [line.rstrip() for line in lines] or ["nothing differs"],
        {"differences": [asdict(each) for each in found], "refused": len(refused)},
        as_json,
    )
    if refused:
        raise SystemExit(REFUSED_EXIT)
