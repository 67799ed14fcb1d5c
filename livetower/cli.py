"""The command line: `livetower up`, `down`, `ps`, `logs`, `submit`, `cancel`, `jars`, `settings`, `demo`,
`watch`, `bench`, `soak`, `chaos`, `command`, `recommend`, `why`, `doctor`, `replay`, `items`, `evaluate`, `train`,
`tune`,
and the operations `savepoint`, `stop`, `resume`, `upgrade`, `rescale`, `rollback`.

It parses and prints; what happens stands in the packages beside it: `livetower.sandbox`, `livetower.demo` and others.
"""

import signal
import threading
import urllib.error
from pathlib import Path
from types import FrameType

import click

from livetower.bench.command import bench
from livetower.chaos.command import chaos
from livetower.command import command
from livetower.demo.command import demo
from livetower.doctor.command import doctor
from livetower.evaluate.command import evaluate, tune
from livetower.inspect.command import inspect
from livetower.operations.command import rescale, resume, rollback, savepoint, stop, upgrade
from livetower.recommend import recommend, why
from livetower.replay.command import items, replay
from livetower.sandbox import Sandbox, SandboxError
from livetower.sandbox.jars import fetch_jars, pin_jars
from livetower.sandbox.logs import print_logs
from livetower.sandbox.ports import Ports, is_free
from livetower.sandbox.processes import resident_mib
from livetower.soak.command import soak
from livetower.train.command import train
from livetower.watch.command import watch

USUAL_KAFKA_PORT, USUAL_REST_PORT = 9092, 8081
PORT = click.IntRange(0, 65_535)

run_dir_option = click.option(
    "--run-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The sandbox's directory. Default: LIVETOWER_HOME/sandbox.",
)


class Commands(click.Group):
    """Turns what the user can cure into one message instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SandboxError as error:
            raise click.ClickException(str(error)) from error
        except PermissionError as error:
            raise click.ClickException(
                f"{error.filename}: {error.strerror}: change its owner (chown), or name a directory of yours "
                "(--run-dir or LIVETOWER_HOME)"
            ) from error
        except urllib.error.URLError as error:
            raise click.ClickException(
                f"Flink does not answer ({error.reason}): `livetower ps` says what runs"
            ) from error


@click.group(cls=Commands)
def main() -> None:
    """Run the Livetower recommender on a Kafka and a Flink of your own."""
    signal.signal(signal.SIGTERM, interrupt)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Let SIGTERM do what Ctrl-C does: stop what this command started."""
    raise KeyboardInterrupt


@main.command()
@run_dir_option
@click.option("--taskmanagers", default=2, show_default=True, help="How many TaskManagers, of one slot each.")
@click.option("--fresh", is_flag=True, help="Remove first what an earlier sandbox left in the directory.")
@click.option("--foreground", is_flag=True, help="Stay; Ctrl-C stops everything.")
@click.option(
    "--kafka-port", type=PORT, help=f"Default: {USUAL_KAFKA_PORT}, or a free one (as for 0) when it is taken."
)
@click.option("--rest-port", type=PORT, help=f"Default: {USUAL_REST_PORT}, or a free one (as for 0) when it is taken.")
@click.option("--controller-port", type=PORT, default=0, help="Kafka's controller. Default: a free one.")
@click.option("--jobmanager-port", type=PORT, default=0, help="Flink's RPC. Default: a free one.")
@click.option("--ha", is_flag=True, help="A ZooKeeper too: a JobManager that was lost goes on with its jobs.")
@click.option("--flink", "flink_options", multiple=True, metavar="KEY=VALUE", help="A line of Flink's configuration.")
def up(
    run_dir: Path | None,
    taskmanagers: int,
    fresh: bool,
    foreground: bool,
    kafka_port: int | None,
    rest_port: int | None,
    controller_port: int,
    jobmanager_port: int,
    ha: bool,
    flink_options: tuple[str, ...],
) -> None:
    """Start Kafka and Flink, or what is missing of them, and wait until they answer."""
    sandbox = Sandbox(run_dir)
    ports = Ports(
        kafka=usual_or_free(USUAL_KAFKA_PORT) if kafka_port is None else kafka_port,
        rest=usual_or_free(USUAL_REST_PORT) if rest_port is None else rest_port,
        controller=controller_port,
        jobmanager=jobmanager_port,
    )
    sandbox.up(
        taskmanagers,
        ports=ports,
        fresh=fresh,
        flink_options=parsed_options(flink_options),
        high_availability=ha,
    )
    print_addresses(sandbox)
    if foreground:
        click.echo("Ctrl-C stops everything.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("stopping")
        finally:
            sandbox.down()


@main.command()
@run_dir_option
def down(run_dir: Path | None) -> None:
    """Stop everything that `up` started; the data stays."""
    Sandbox(run_dir).down()


@main.command()
@run_dir_option
def ps(run_dir: Path | None) -> None:
    """List the sandbox's processes."""
    sandbox = Sandbox(run_dir)
    running = sandbox.running()
    for name, record in sandbox.processes().items():
        state = f"running  {resident_mib(record.pid):5} MiB" if name in running else "ended"
        click.echo(f"{name:15} {record.pid:8}  {state:18}  {sandbox.log_path(name)}")
    if running:
        print_addresses(sandbox)
    else:
        click.echo(f"nothing runs in {sandbox.run_dir}")


@main.command()
@run_dir_option
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
@click.option("-n", "--lines", default=20, show_default=True, help="How many of the last lines of each log.")
def logs(run_dir: Path | None, name: str | None, follow: bool, lines: int) -> None:
    """Print the end of one process's log, or of all, and of what it has printed past its log."""
    sandbox = Sandbox(run_dir)
    names = [name] if name else list(sandbox.processes())
    print_logs(sandbox.log_files(names), lines, follow)


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@run_dir_option
@click.option("--no-wait", is_flag=True, help="Do not wait until every task runs.")
@click.option("--from-savepoint", metavar="PATH", help="Start from this savepoint or retained checkpoint.")
@click.argument("job_args", nargs=-1, type=click.UNPROCESSED)
def submit(run_dir: Path | None, no_wait: bool, from_savepoint: str | None, job_args: tuple[str, ...]) -> None:
    """Submit the recommender. JOB_ARGS are its own: --settings FILE, --set key=value."""
    sandbox = Sandbox(run_dir)
    job_id = sandbox.submit(*job_args, wait=not no_wait, from_savepoint=from_savepoint)
    state = "submitted" if no_wait else "running"
    click.echo(f"job {job_id} {state}: {sandbox.rest_url}/#/job/running/{job_id}/overview")


@main.command()
@run_dir_option
@click.argument("job_id")
def cancel(run_dir: Path | None, job_id: str) -> None:
    """Cancel a job; its last checkpoints are kept."""
    Sandbox(run_dir).cancel(job_id)


@main.command()
@click.option("--pin", is_flag=True, help="Resolve all dependencies anew and rewrite the manifest, jars.toml.")
def jars(pin: bool) -> None:
    """Fetch the jars that are missing and check the digest of each."""
    if pin:
        pin_jars()
    else:
        fetch_jars()


@main.command()
def settings() -> None:
    """Print every setting of the job with its default and meaning, as Markdown."""
    from livetower.settings_table import settings_page

    click.echo(settings_page(), nl=False)


main.add_command(demo)
main.add_command(doctor)
main.add_command(command)
main.add_command(inspect)
main.add_command(replay)
main.add_command(items)
main.add_command(recommend)
main.add_command(why)
main.add_command(evaluate)
main.add_command(train)
main.add_command(tune)
main.add_command(watch)
main.add_command(bench)
main.add_command(soak)
main.add_command(chaos)
for operation in (savepoint, stop, resume, upgrade, rescale, rollback):
    main.add_command(operation)


def usual_or_free(port: int) -> int:
    """Return the port, or 0 (any free one) when somebody has it."""
    return port if is_free(port) else 0


def parsed_options(lines: tuple[str, ...]) -> dict[str, str]:
    """Return KEY=VALUE lines as a mapping."""
    for line in lines:
        if "=" not in line:
            raise click.BadParameter(f"a Flink option is KEY=VALUE; got {line!r}")
    return dict(line.split("=", 1) for line in lines)


def print_addresses(sandbox: Sandbox) -> None:
    """Say where the broker and the web UI are."""
    click.echo(f"Kafka         {sandbox.bootstrap_servers}")
    click.echo(f"Flink web UI  {sandbox.rest_url}")


if __name__ == "__main__":
    main()
