"""The command `livetower train`. What it does stands in run.py; livetower/cli.py adds it to the other commands."""

import json
from dataclasses import asdict
from pathlib import Path

import click

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("source", metavar="movielens-100k|FILE")
@click.option("--output", type=FILE, default=Path("tower.safetensors"), show_default=True, help="The file to write.")
@click.option("--items", type=FILE, help="Catalogue: JSONL with a record of the topic `items` on each line.")
@click.option("--half", is_flag=True, help="Vectors in float16: half the bytes, three digits.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of lines.")
@click.option("--seed", type=click.IntRange(min=0), help="Of first vectors, negatives and replays (model and tower).")
@click.option("--settings", type=FILE, help="TOML file as for `livetower submit`; only [model] and [tower] are read.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="One setting, after the file's.")
def train(
    source: str,
    output: Path,
    items: Path | None,
    half: bool,
    as_json: bool,
    seed: int | None,
    settings: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Train an item tower on history, for a job to begin with.

    FILE is CSV, Parquet or JSONL with user_id, item_id, event_time_ms and optionally event_type and value. The events
    go once, by time, through the code that the job runs. Users are not kept: a job learns them from its own events.

    \b
      livetower train plays.csv --items catalogue.jsonl --output /data/tower.safetensors
      livetower submit --set job.start_tower=/data/tower.safetensors
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    # numba and torch need not load for `livetower --help`.
    from flink_jobs.settings import InvalidSettings
    from livetower.evaluate.command import progress_bars
    from livetower.evaluate.errors import EvaluationError
    from livetower.evaluate.events import load_catalogue
    from livetower.evaluate.settings import evaluation_settings
    from livetower.train.run import load_history, train_tower, write_tower

    seeds = [f"{name}.seed={seed}" for name in ("model", "tower") if seed is not None]
    try:
        model, tower = evaluation_settings(settings, [*overrides, *seeds])
        events, catalogue = load_history(source), load_catalogue(source, items)
        with progress_bars() as begin:
            trained, blob = train_tower(
                events, catalogue, model, tower, half=half, progress=begin("training", len(events))
            )
        write_tower(output, blob)
    except (EvaluationError, InvalidSettings) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{output}: cannot be written: {error}") from error
    if as_json:
        click.echo(json.dumps(asdict(trained) | {"file": str(output), "bytes": len(blob)}))
        return
    click.echo(f"items       {trained.items:,}")
    click.echo(f"examples    {trained.examples:,}")
    click.echo(f"parameters  {trained.parameters:,}")
    click.echo(f"NDCG@10     {trained.ndcg_at_10:.4f}   each event ranked before it was learned, after the first tenth")
    click.echo(f"file        {output}   {len(blob):,} bytes")
    click.echo(f"Begin a job with it: livetower submit --set job.start_tower={output.absolute()}")
