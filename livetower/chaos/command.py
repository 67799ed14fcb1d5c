"""The command `livetower chaos`: it parses and prints; what happens stands in run.py."""

import json
from pathlib import Path

import click

from livetower.chaos.plan import Mode, deal_legs
from livetower.errors import CannotGoOn

BROKEN_EXIT = 1


@click.command()
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Draws faults and events.")
@click.option("--faults", type=click.IntRange(min=1), default=20, show_default=True, help="How many in all.")
@click.option("--events", type=click.IntRange(min=100), default=50_000, show_default=True, help="How many in all.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=9.0,
    show_default=True,
    help="No fault begins later; a kind that was planned and not reached counts as a failure.",
)
@click.option(
    "--mode",
    type=click.Choice([str(mode) for mode in Mode]),
    default=str(Mode.IDEMPOTENT),
    show_default=True,
    help="How lists are delivered: the setting kafka.delivery.",
)
@click.option(
    "--run-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the run's cluster lives, which is removed first. Default: LIVETOWER_HOME/chaos.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the table.")
def chaos(seed: int, faults: int, events: int, minutes: float, mode: str, run_dir: Path | None, as_json: bool) -> None:
    """Kill, break and upgrade a running job while events flow, and prove that nothing was lost.

    A cluster of its own, on the sandbox's processes. Exit code 1: a guarantee was broken, or a kind of fault was not
    reached; 2: the run could not be judged.

    \b
      livetower chaos
      livetower chaos --seed 7 --faults 100 --events 250000 --minutes 90 --json
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    # Kafka's client, numba and torch need not load for `livetower --help`.
    from rich.console import Console

    from livetower.chaos.errors import ChaosError
    from livetower.chaos.run import Plan, kinds_left_out, run_chaos
    from livetower.chaos.table import chaos_table, document
    from livetower.inspect.errors import InspectError
    from livetower.sandbox import SandboxError
    from livetower.sandbox.home import livetower_home

    chosen = Mode(mode)
    plan = Plan(tuple(deal_legs(seed, faults, events, chosen)), seed, chosen, minutes)
    try:
        outcomes = run_chaos(plan, run_dir or livetower_home() / "chaos", lambda line: click.echo(line, err=True))
    except (ChaosError, InspectError, SandboxError) as error:
        raise CannotGoOn(f"seed {seed}: {error}") from error
    record = document(outcomes, seed, mode) | {"left_out": kinds_left_out(plan, outcomes)}
    if as_json:
        click.echo(json.dumps(record))
    else:
        Console().print(chaos_table(record))
        for line in record["first_violations"]:
            click.echo(line)
    for kind in record["left_out"]:
        click.echo(f"not reached within {minutes:g} minutes: {kind}", err=True)
    if record["violations"] or record["left_out"]:
        raise SystemExit(BROKEN_EXIT)
