"""`livetower inspect export`: users and items of a checkpoint as files that pandas, DuckDB and numpy open."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from livetower.inspect import reading
from livetower.inspect.codes import inspect_error
from livetower.inspect.reading import LearnedState

FORMAT_NAMES: Final = ("parquet", "npz", "jsonl")
BATCH: Final = 16_384
"""Users of a row group: 36 MiB of blobs of 2 KiB, three times that as columns."""

EPILOG = """\b
  livetower inspect export PATH --out learned
  livetower inspect export PATH --format npz --out learned
  livetower inspect export PATH --format jsonl --out learned --force
"""


@click.command(epilog=EPILOG)
@click.argument("path")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(FORMAT_NAMES),
    default="parquet",
    show_default=True,
    help="Parquet for pandas and DuckDB, npz for numpy, JSON lines for the rest.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Their directory; made if new.",
)
@click.option("--force", is_flag=True, help="Write over files of an earlier export.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout: the files and their rows.")
def export(path: str, format_name: str, out: Path, force: bool, as_json: bool) -> None:
    """Write users and items as users.parquet and items.parquet (or .npz, .jsonl), embeddings and vectors included.

    Times are in milliseconds since 1970; items in lists are 64-bit hashes of their ids, with the ids beside them as far
    as the catalogue knows them. A file takes its name when it is whole.
    """
    # Arrow need not load for `livetower --help`.
    import json

    from livetower.progress import progress_bars

    with reading.open_state(path) as state, progress_bars() as begin:
        done = begin("users", state.users_estimate() or 0)
        written = export_state(state, out, format_name, force=force, done=done)
    if as_json:
        click.echo(json.dumps({"uri": state.uri, "files": [{"file": str(f), "rows": n} for f, n in written.items()]}))
    else:
        for file, rows in written.items():
            click.echo(f"{file}: {rows:,} rows")
    if not any(file.stem == "items" for file in written):
        click.echo("no items: the item tower has not been written yet", err=True)


def export_state(
    state: LearnedState,
    out: Path,
    format_name: str,
    *,
    force: bool = False,
    done: Callable[[int], None] = lambda _: None,
) -> dict[Path, int]:
    """Write both files and return their rows. Raises InspectError: also for a user that cannot be read, since a file
    that lacks one would look whole.
    """
    from livetower.inspect.export_files import FORMATS
    from livetower.inspect.exported_columns import ItemIds, item_table, user_table
    from livetower.inspect.stored_tower import read_tower
    from livetower.inspect.user_columns import column_batches, user_columns

    users_file, items_file = out / f"users.{format_name}", out / f"items.{format_name}"
    _make_room(out, [users_file, items_file], force)
    tower = read_tower(state)
    ids, seen = ItemIds(tower), 0
    try:
        with ExitStack() as files:
            users = files.enter_context(FORMATS[format_name](users_file))
            for columns in column_batches(state.users(), BATCH):
                for name, cause in columns.unreadable:
                    raise inspect_error("LT-INS-201", f"{state.uri}: user {name!r}: {cause}")
                users.write(user_table(columns, ids))
                seen += len(columns)
                done(seen)
            if not seen:
                users.write(user_table(user_columns([]), ids))
            if tower is not None:
                files.enter_context(FORMATS[format_name](items_file)).write(item_table(tower))
    except OSError as error:
        raise inspect_error("LT-INS-305", f"--out {out}: the files could not be written: {error}") from error
    return {users_file: seen} | ({} if tower is None else {items_file: len(tower.hashes)})


def _make_room(out: Path, files: list[Path], force: bool) -> None:
    """The directory, without files that are in the way. Raises InspectError."""
    there = [file for file in files if file.exists()]
    if there and not force:
        raise inspect_error("LT-INS-306", f"--out {out}: a directory without {there[0].name} was needed")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise inspect_error("LT-INS-305", f"--out {out}: a directory to write to was needed: {error}") from error
