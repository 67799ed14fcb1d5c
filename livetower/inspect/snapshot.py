"""`livetower inspect snapshot`: the item snapshot files that the ranking reads. What is read and computed stands in
snapshot_files.py and closeness.py.
"""

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from livetower.inspect.snapshot_files import SnapshotFile
    from models.snapshots import SnapshotRows

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of the tables.")


@click.group("snapshot")
def snapshot() -> None:
    """Look into item snapshot files: what the ranking reads."""


@snapshot.command("ls")
@click.argument("root")
@json_option
def ls(root: str, as_json: bool) -> None:
    """List the item snapshots below ROOT: job.snapshot_root, a savepoint's directory, or one file.

    A delta's base is the full snapshot of its epoch before it; one without is marked. Digests are not looked at here
    but by `livetower inspect snapshot verify`.

    \b
      livetower inspect snapshot ls .livetower/sandbox/snapshots
      livetower inspect snapshot ls s3://bucket/snapshots --json
    """  # noqa: D301
    from livetower.inspect.snapshot_files import snapshot_files
    from livetower.operations.places import size_of

    now_ms, listed, bases = round(1_000 * time.time()), list[dict[str, Any]](), dict[int, str]()
    for file in snapshot_files(root):
        if file.kind == "full":
            bases[file.epoch] = file.name
        listed.append(
            {
                "name": file.name,
                "kind": file.kind,
                "epoch": file.epoch,
                "trained_events": file.trained_events,
                "items": _items_of(file),
                "bytes": size_of(file.uri),
                "written_ms": file.written_ms,
                "age_ms": max(0, now_ms - file.written_ms),
                "full": None if file.kind == "full" else bases.get(file.epoch),
            }
        )
    if as_json:
        click.echo(json.dumps({"root": root, "snapshots": listed}, ensure_ascii=False))
        return
    from livetower.recommend import duration

    rows = [
        (
            each["kind"],
            f"{each['epoch']}-{each['trained_events']}",
            _count(each["items"]),
            _count(each["bytes"]),
            duration(each["age_ms"]),
            "" if each["kind"] == "full" else "applies" if each["full"] else "no full snapshot before it",
            each["name"],
        )
        for each in listed
    ]
    _print(("kind", "epoch-events", ">items", ">bytes", ">age", "chain", "file"), rows)


@snapshot.command("show")
@click.argument("file")
@click.argument("item", required=False)
@json_option
def show(file: str, item: str | None, as_json: bool) -> None:
    """Show what stands in the snapshot FILE; with an ITEM id, that item with its vector's neighbours.

    \b
      livetower inspect snapshot show snapshots/full-0-000000002000-0123456789abcdef.safetensors
      livetower inspect snapshot show snapshots/full-0-000000002000-0123456789abcdef.safetensors film-7 --json
    """  # noqa: D301
    from livetower.inspect.snapshot_files import read_snapshot, row_of_item

    rows = read_snapshot(file)
    told = facts_of(rows) if item is None else facts_of_item(rows, row_of_item(rows, item, file))
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    neighbours = told.pop("neighbours", None)
    width = max(len(name) for name in told)
    for name, value in told.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_words(value)}")
    if neighbours is not None:
        _print_neighbours(neighbours)


@snapshot.command("neighbours")
@click.argument("file")
@click.argument("item")
@click.option("-n", "--number", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
@json_option
def neighbours(file: str, item: str, number: int, as_json: bool) -> None:
    """List the items of the snapshot FILE whose vectors are closest to ITEM's, by cosine.

    \b
      livetower inspect snapshot neighbours snapshots/full-0-000000002000-0123456789abcdef.safetensors film-7 -n 5
    """  # noqa: D301
    from livetower.inspect.snapshot_files import read_snapshot, row_of_item

    rows = read_snapshot(file)
    found = neighbours_of(rows, row_of_item(rows, item, file), number)
    if as_json:
        click.echo(json.dumps({"item_id": item, "neighbours": found}, ensure_ascii=False))
    else:
        _print_neighbours(found)


@snapshot.command("verify")
@click.argument("root")
@click.option("--strict", is_flag=True, help="Exit code 1 for a warning, too.")
@json_option
def verify(root: str, strict: bool, as_json: bool) -> None:
    """Check the item snapshots below ROOT, or one file: digest, format, finite numbers, ids, and the chain of deltas.

    Exit code 1: one is broken. 2: nothing could be read.

    \b
      livetower inspect snapshot verify .livetower/sandbox/snapshots
      livetower inspect snapshot verify savepoints/savepoint-9df82a-4c1f2ab33d10 --strict --json
    """  # noqa: D301
    from livetower.inspect.findings import print_findings
    from livetower.inspect.snapshot_files import file_findings, snapshot_files
    from livetower.progress import progress_bars

    files = snapshot_files(root)
    with progress_bars() as begin:
        found = list(file_findings(files, begin("snapshots", len(files))))
    print_findings(found, [], as_json, strict)


@snapshot.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="So many items of each list.")
@json_option
def diff(before: str, after: str, limit: int, as_json: bool) -> None:
    """Compare two snapshot files: items added and gone, and those whose vectors moved most.

    \b
      livetower inspect snapshot diff full-0-000000002000-….safetensors full-0-000000004000-….safetensors --limit 5
    """  # noqa: D301
    from livetower.inspect.snapshot_files import read_snapshot

    told = differences_of(read_snapshot(before), read_snapshot(after), limit)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    click.echo(f"{told['before']} -> {told['after']}")
    for name in ("added", "gone"):
        click.echo(f"{name}: {told[name]['count']:,}")
        if told[name]["items"]:
            _print(("item", "title", "category"), [tuple(each.values()) for each in told[name]["items"]])
    click.echo(f"moved: of {told['shared']:,} items in both, the furthest first")
    _print(
        ("item", "title", ">cosine", ">norm before", ">norm after"),
        [
            (m["item_id"], m["title"], f"{m['cosine']:.4f}", f"{m['norm_before']:.3f}", f"{m['norm_after']:.3f}")
            for m in told["moved"]
        ],
    )


# ---- what is told --------------------------------------------------------------------------------


def facts_of(rows: "SnapshotRows") -> dict[str, Any]:
    """What can be said of a whole snapshot."""
    import numpy as np

    norms = np.linalg.norm(rows.vectors.astype(np.float64), axis=1)
    places = (0, 5, 50, 95, 100)
    spread = dict(zip(map(str, places), np.percentile(norms, places).round(6).tolist(), strict=True))
    return {
        "kind": rows.kind,
        "epoch": rows.epoch,
        "trained_events": rows.trained_events,
        "rows": len(rows.available),
        "whole_rows": len(rows.hashes),
        "new_rows": None if rows.rows is None else int((rows.rows < 0).sum()),
        "available": int(rows.available.sum()),
        "cold": int(rows.popularity.cold.sum()),
        "dimension": rows.vectors.shape[1],
        "content_columns": rows.content.shape[1],
        "half_lives": rows.popularity.counts.shape[1],
        "norm_percentiles": spread if len(norms) else {},
        "zero_vectors": int((norms == 0).sum()),
        "floor": rows.popularity.floor,
        "gamma": rows.popularity.gamma.tolist(),
        "alpha": rows.popularity.alpha.tolist(),
        "categories": dict(Counter(category or "(none)" for category in rows.categories).most_common(10)),
    }


def facts_of_item(rows: "SnapshotRows", row: int) -> dict[str, Any]:
    """What can be said of one whole row."""
    import numpy as np

    place = row + len(rows.available) - len(rows.hashes)  # in a popularity update the whole rows stand last
    popularity = rows.popularity
    learned = [
        _named(rows, each) | {"weight": round(float(weight), 6)}
        for each, weight in zip(rows.neighbour_rows[row].tolist(), rows.neighbour_weights[row], strict=True)
        if rows.rows is None and each >= 0
    ]
    return {
        **_named(rows, row),
        "hash": int(rows.hashes[row]),
        "row": row if rows.rows is None else int(rows.rows[place]),
        "available": bool(rows.available[place]),
        "cold": bool(popularity.cold[place]),
        "norm": float(np.linalg.norm(rows.vectors[row].astype(np.float64))),
        "bias": float(rows.biases[row]),
        "events_per_half_life": popularity.events()[place].tolist(),
        "content_norm": float(np.linalg.norm(rows.content[row].astype(np.float64))),
        "seen_together": learned,
        "vector": rows.vectors[row].tolist(),
        "neighbours": neighbours_of(rows, row, 5),
    }


def neighbours_of(rows: "SnapshotRows", row: int, n: int) -> list[dict[str, Any]]:
    """The n items closest to a row, by the cosine of their vectors."""
    from livetower.inspect.closeness import closest

    return [_named(rows, each) | {"cosine": cosine} for each, cosine in closest(rows.vectors, row, n)]


def differences_of(before: "SnapshotRows", after: "SnapshotRows", limit: int) -> dict[str, Any]:
    """Items added, gone and moved most, with at most `limit` of each."""
    import numpy as np

    from livetower.inspect.closeness import most_moved
    from livetower.inspect.codes import inspect_error

    k, k_after = before.vectors.shape[1], after.vectors.shape[1]
    if k != k_after:
        raise inspect_error("LT-INS-303", f"vectors of one dimension were needed; got {k} and {k_after}")
    added = np.flatnonzero(~np.isin(after.hashes, before.hashes))
    gone = np.flatnonzero(~np.isin(before.hashes, after.hashes))
    moved = most_moved(before, after, limit)
    return {
        "before": f"{before.kind} {before.epoch}-{before.trained_events}",
        "after": f"{after.kind} {after.epoch}-{after.trained_events}",
        "shared": len(after.hashes) - len(added),
        "added": {"count": len(added), "items": [_named(after, row) for row in added[:limit].tolist()]},
        "gone": {"count": len(gone), "items": [_named(before, row) for row in gone[:limit].tolist()]},
        "moved": [
            _named(after, each.row)
            | {"cosine": each.cosine, "norm_before": each.norm_before, "norm_after": each.norm_after}
            for each in moved
        ],
    }


def _named(rows: "SnapshotRows", row: int) -> dict[str, Any]:
    return {"item_id": rows.ids[row], "title": rows.titles[row], "category": rows.categories[row]}


def _items_of(file: "SnapshotFile") -> int | None:
    """Rows of a file, from its header; None if that cannot be read."""
    from livetower.inspect.snapshot_files import rows_in_header

    return rows_in_header(file.uri)


# ---- for people ----------------------------------------------------------------------------------


def _print_neighbours(found: list[dict[str, Any]]) -> None:
    rows = [
        (str(n), each["item_id"], each["title"], each["category"], f"{each['cosine']:.4f}")
        for n, each in enumerate(found, 1)
    ]
    _print((">", "item", "title", "category", ">cosine"), rows)


def _print(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A table; the name of a column of numbers begins with '>'."""
    from rich.table import Table

    from livetower.recommend import print_table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    print_table(table)


def _count(number: object) -> str:
    return "?" if number is None else f"{number:,}"


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(map(_words, value)) + "]"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)
