"""The commands `livetower evaluate` and `livetower tune`: what they do stands in run.py, launch.py and tune.py."""

from pathlib import Path

import click

from livetower.progress import progress_bars

LAUNCH_SEEDS = (0, 1, 2)
SETTINGS_HELP = "TOML file as for `livetower submit`; only its sections [model] and [tower] are read."


@click.command()
@click.argument("source", metavar="movielens-100k|FILE")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the table.")
@click.option("--baselines", is_flag=True, help="Also RAISGD, item neighbours and EASE refitted every 5%.")
@click.option(
    "--launch",
    is_flag=True,
    help="Items that launch in the middle of the stream, with and without content; seeds 0-2 pooled, or one --seed.",
)
@click.option(
    "--items",
    metavar="movielens-100k|FILE",
    help="A catalogue that is known from the first event on, with records of the topic `items`; without one an item is "
    "an id, and a candidate from its first event on.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of first vectors, negatives and replays (model and tower).")
@click.option("--strategy", help="Sets model.strategy.")
@click.option("--loss", help="Sets model.loss.")
@click.option("--optimizer", help="Sets model.optimizer.")
@click.option("--settings", type=click.Path(dir_okay=False, path_type=Path), help=SETTINGS_HELP)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="One setting, after the file's.")
def evaluate(
    source: str,
    as_json: bool,
    baselines: bool,
    launch: bool,
    items: str | None,
    seed: int | None,
    strategy: str | None,
    loss: str | None,
    optimizer: str | None,
    settings: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Test the recommender on every event of a stream before it learns it, beside popularity and ISGD.

    FILE is CSV, Parquet or JSONL with user_id, item_id, event_time_ms and optionally event_type and value. The code is
    the job's own; neither Kafka nor Flink is needed.

    \b
      livetower evaluate movielens-100k
      livetower evaluate movielens-100k --json --seed 1 --strategy popular
      livetower evaluate movielens-100k --items movielens-100k --strategy content
      livetower evaluate movielens-100k --launch
      livetower evaluate plays.csv --baselines --set tower.snapshot_examples=10000
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    # numba and torch need not load for `livetower --help`.
    from flink_jobs.settings import InvalidSettings
    from livetower.evaluate.errors import EvaluationError
    from livetower.evaluate.events import MOVIELENS, load_catalogue, load_events, load_items
    from livetower.evaluate.launch import evaluate_launch
    from livetower.evaluate.report import print_evaluation, print_launches
    from livetower.evaluate.run import evaluate as run
    from livetower.evaluate.settings import evaluation_settings

    chosen = {"model.seed": seed, "tower.seed": seed, "model.strategy": strategy}
    chosen |= {"model.loss": loss, "model.optimizer": optimizer}
    named = [f"{name}={value}" for name, value in chosen.items() if value is not None]
    try:
        model, tower = evaluation_settings(settings, [*overrides, *named])
        with progress_bars() as begin:
            events = load_events(source)
            if launch:
                films, seeds = load_items(source), LAUNCH_SEEDS if seed is None else (seed,)
                launches = [evaluate_launch(events, films, model, tower, seed=each, begin=begin) for each in seeds]
            else:
                catalogue = load_catalogue(MOVIELENS, None if items == MOVIELENS else Path(items)) if items else []
                result = run(events, model, tower, catalogue, all_baselines=baselines, begin=begin)
    except (EvaluationError, InvalidSettings) as error:
        raise click.ClickException(str(error)) from error
    if launch:
        print_launches(launches, as_json=as_json)
    else:
        print_evaluation(result, as_json=as_json)


@click.command()
@click.argument("source", metavar="movielens-100k|FILE")
@click.option("--trials", type=click.IntRange(min=1), default=30, show_default=True, help="Runs of the first 40%.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the search.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("tuned.toml"),
    show_default=True,
    help="Where the settings found are written, for `--settings`.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the table.")
@click.option("--settings", type=click.Path(dir_okay=False, path_type=Path), help="Start from these; " + SETTINGS_HELP)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="One setting, after the file's.")
def tune(
    source: str,
    trials: int,
    seed: int,
    out: Path,
    as_json: bool,
    settings: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Search dimension, rates, rho, popularity half-lives and how fast their blend is learned, on the first 40% of a
    stream, and report the rest for the settings given and for those found.

    \b
      livetower tune movielens-100k --trials 40
      livetower tune plays.parquet --out plays.toml && livetower evaluate plays.parquet --settings plays.toml
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    from flink_jobs.settings import InvalidSettings
    from livetower.evaluate.errors import EvaluationError
    from livetower.evaluate.events import load_events
    from livetower.evaluate.report import print_tuning
    from livetower.evaluate.settings import evaluation_settings
    from livetower.evaluate.tune import tune as search
    from livetower.evaluate.tune import write_settings

    try:
        start = evaluation_settings(settings, overrides)
        with progress_bars() as begin:
            found = search(load_events(source), start, trials=trials, seed=seed, begin=begin)
        write_settings(out, found)
    except (EvaluationError, InvalidSettings, OSError) as error:
        raise click.ClickException(str(error)) from error
    print_tuning(found, as_json=as_json)
    click.echo(f"written: {out}", err=True)
