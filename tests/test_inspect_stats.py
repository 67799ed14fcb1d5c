"""`livetower inspect stats`: figures computed by hand, sick vectors that are named, a page without network."""

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from fake_learned_state import FakeLearnedState
from worlds import BORDER, MODEL, TOWER, feed, item_input, tower_inputs

from livetower.cli import main
from livetower.inspect.command import inspect
from livetower.inspect.projection import project
from livetower.inspect.report import report_html, spots
from livetower.inspect.spread import histogram_of, robust_centre, robust_z, spread_of
from livetower.inspect.stats import EPILOG, stats_of
from livetower.inspect.stored_tower import read_tower
from livetower.operations.metadata import Metadata
from models.tower_stream import TowerStream
from models.user_state import new_user_state

DAY_MS = 86_400_000


@cache
def trained() -> TowerStream:
    """A tower of forty items in thirteen categories, two of them with names that HTML must not take for its own."""
    stream = TowerStream(MODEL, TOWER)
    names = [
        item_input(f"i{n}", title=f"<b>Title {n}</b>" if n == 3 else f"Title {n}", category=f"c&{n % 13}")
        for n in range(60)
    ]
    return feed(stream, [*names, *tower_inputs(200), BORDER])


def users_of_norm(*norms: float) -> FakeLearnedState:
    """One user u0, u1 … of each norm, with as many events as its number, a day apart."""
    state = FakeLearnedState()
    for n, norm in enumerate(norms):
        vector = np.zeros(8, np.float32)
        vector[n % 8] = norm
        learned = replace(new_user_state(8, 0), embedding=vector, user_seq=n, newest_event_ms=n * DAY_MS)
        state.keep_user(f"u{n}", learned)
    return state


def run(*args: str) -> str:
    """What `livetower inspect stats` prints; it must succeed."""
    result = CliRunner().invoke(main, ["inspect", "stats", *args])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_percentiles_and_means_are_those_of_the_numbers() -> None:
    found = stats_of(users_of_norm(1, 2, 3, 4, 5), None)["users"]
    assert found["count"] == 5
    assert found["spread"]["norm"]["p50"] == 3
    assert found["spread"]["norm"]["mean"] == 3
    assert found["spread"]["events"]["max"] == 4
    assert found["spread"]["idle_days"]["max"] == 4
    assert found["spread"]["blob_bytes"]["min"] == 80 + 4 * 8
    assert found["bytes"] == 5 * (80 + 4 * 8)
    assert sum(found["histogram"]["norm"]["counts"]) == 5


def test_an_outlier_is_named_with_its_robust_z() -> None:
    norms = [float(np.exp(x)) for x in (-2, -1, 0, 1, 2, 12)]
    found = stats_of(users_of_norm(*norms), None)["users"]["outliers"]
    # Logs: median 0.5, absolute deviations 2.5 1.5 0.5 0.5 1.5 11.5, their median 1.5.
    assert found["count"] == 1
    assert found["named"][0]["user_id"] == "u5"
    assert found["named"][0]["z"] == pytest.approx(11.5 / (1.4826 * 1.5), rel=1e-5)


def test_vectors_that_are_dead_or_not_finite_are_counted_and_named_and_spoil_no_percentile() -> None:
    state = users_of_norm(1, 2, 3, float("nan"), 0, 0)
    learned = replace(new_user_state(8, 0), positives=7, user_seq=7)
    state.keep_user("numb", learned)
    state.keep_blob("junk", b"junk")
    found = stats_of(state, None, limit=2)["users"]
    assert found["non_finite"] == {"count": 1, "named": [{"user_id": "u3", "events": 3}]}
    assert found["dead"]["count"] == 3
    assert [each["user_id"] for each in found["dead"]["named"]] == ["u4", "u5"]
    assert [each["user_id"] for each in found["dead_though_learned"]["named"]] == ["numb"]
    assert [each["user_id"] for each in found["unreadable"]["named"]] == ["junk"]
    assert found["spread"]["norm"]["max"] == 3


def test_key_groups_fall_to_subtasks_as_flink_assigns_them() -> None:
    state = users_of_norm(*range(1, 41))
    groups = stats_of(state, None, parallelism=3)["key_groups"]
    expected = [0, 0, 0]
    for name in state.kept_users:
        group = state.key_group_of(name)
        # KeyGroupRangeAssignment.computeKeyGroupRangeForOperatorIndex: start and end of each subtask's range.
        (owner,) = [n for n in range(3) if (n * 128 + 2) // 3 <= group <= ((n + 1) * 128 - 1) // 3]
        expected[owner] += 1
    assert [each["users"] for each in groups["subtasks"]] == expected
    assert [each["key_groups"] for each in groups["subtasks"]] == [43, 43, 42]
    assert groups["skew"] == pytest.approx(max(expected) / (40 / 3))
    assert sum(each["bytes"] for each in groups["subtasks"]) == 40 * 112


def test_the_parallelism_is_that_of_the_state_unless_another_is_asked_for() -> None:
    assert stats_of(users_of_norm(1), None)["key_groups"]["parallelism"] == 2


def test_no_users_and_no_tower_are_no_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = FakeLearnedState()
    state.opens(monkeypatch)
    found = json.loads(run(state.uri, "--json", "--html", str(tmp_path / "page.html")))
    assert found["users"]["count"] == 0
    assert found["users"]["spread"]["norm"] is None
    assert found["items"] is None
    assert "not been written yet" in run(state.uri)


def test_items_are_counted_and_named_by_title() -> None:
    state = FakeLearnedState()
    state.keep_tower(trained())
    tower = read_tower(state)
    assert tower is not None
    tower.vectors[:2] = 0
    tower.vectors[2] = np.nan
    found = stats_of(state, tower)["items"]
    assert found["count"] == 60
    assert found["dead"]["count"] == 2
    assert found["non_finite"]["named"][0]["title"] == tower.title_of(int(tower.hashes[2]))
    assert found["non_finite"]["named"][0]["norm"] is None
    assert found["untrained"]["count"] == int((tower.events == 0).sum()) > 0


def test_the_json_is_one_document_that_any_reader_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    state = users_of_norm(1, float("nan"), float("inf"), 1e30)
    state.keep_tower(trained())
    state.opens(monkeypatch)

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    found = json.loads(run(state.uri, "--json"), parse_constant=refuse)
    assert found["users"]["non_finite"]["count"] == 2


def test_the_tables_say_what_the_json_says(monkeypatch: pytest.MonkeyPatch) -> None:
    state = users_of_norm(1, 2, 3, float("nan"))
    state.keep_tower(trained())
    state.opens(monkeypatch)
    printed = run(state.uri)
    assert "4 users" in printed
    assert re.search(r"not finite\s+1\s+u3", printed)
    assert "128 key groups on 2 subtasks" in printed


@pytest.mark.parametrize("parallelism", ["0", "129"])
def test_a_parallelism_that_the_key_groups_do_not_allow_is_one_line(
    parallelism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = users_of_norm(1)
    state.opens(monkeypatch)
    result = CliRunner().invoke(main, ["inspect", "stats", state.uri, "--parallelism", parallelism])
    assert result.exit_code == 2
    assert re.fullmatch(r"livetower inspect: LT-INS-304: .* \[1, 128\] .*\n", result.stderr)


def test_another_jobs_state_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    state = FakeLearnedState(metadata=Metadata(1, ()))
    state.opens(monkeypatch)
    result = CliRunner().invoke(inspect, ["stats", state.uri])
    assert result.exit_code == 2
    assert "LT-INS-106" in result.stderr


def test_the_examples_of_the_help_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = users_of_norm(1, 2)
    state.keep_tower(trained())
    state.opens(monkeypatch)
    monkeypatch.chdir(tmp_path)
    examples = [line.split()[3:] for line in EPILOG.splitlines() if line.strip().startswith("livetower")]
    assert len(examples) == 3
    for example in examples:
        run(*[state.uri if word == "PATH" else word for word in example])
    assert (tmp_path / "stats.html").read_text().startswith("<!doctype html>")


# ---- the page ------------------------------------------------------------------------------------


def page() -> str:
    state = users_of_norm(*range(1, 30))
    state.keep_tower(trained())
    tower = read_tower(state)
    return report_html(stats_of(state, tower), tower)


def test_the_page_is_well_formed_and_fetches_nothing() -> None:
    text = page()
    body = re.sub(r"<(meta)([^>]*)>", r"<\1\2/>", text.removeprefix("<!doctype html>\n"))
    ElementTree.fromstring(body)
    for word in ("http:", "https:", "<script", "@import", "url(", "<img", "<link"):
        assert word not in text, word
    assert "prefers-color-scheme:dark" in text


def test_every_item_is_a_point_that_says_its_title_and_nothing_is_taken_for_html() -> None:
    text = page()
    assert len(re.findall(r"<circle [^>]*><title>", text)) == 60
    assert "&lt;b&gt;Title 3&lt;/b&gt;\nc&amp;3\n" in text
    assert "<b>Title 3" not in text


def test_the_ten_largest_categories_have_a_colour_and_the_others_share_one() -> None:
    dots = re.findall(r'class="(\w+)"/></svg>([^ ]+) <span class="quiet">(\d+)', page())
    assert len(dots) == 11
    assert [name for name, _, _ in dots] == [f"c{n}" for n in range(10)] + ["none"]
    assert dots[-1][1] == "other"
    assert sum(int(count) for _, _, count in dots) == 60


def test_a_plane_in_space_is_found_with_all_of_its_variance() -> None:
    rng = np.random.default_rng(5)
    flat = rng.normal(size=(200, 2)) * (3, 1)
    turned = np.linalg.qr(rng.normal(size=(6, 6)))[0][:2]
    plane = project((flat @ turned + 7).astype(np.float32))
    assert sum(plane.share) == pytest.approx(1)
    assert plane.share[0] > plane.share[1]
    between = np.linalg.norm(flat[:50, None] - flat[None, :50], axis=2)
    shown = np.linalg.norm(plane.points[:50, None] - plane.points[None, :50], axis=2)
    assert np.allclose(between, shown, atol=1e-4)


def test_vectors_that_are_not_finite_are_left_out_of_the_plane() -> None:
    vectors = np.eye(4, dtype=np.float32)
    vectors[1, 1] = np.inf
    assert project(vectors).rows.tolist() == [0, 2, 3]


@pytest.mark.parametrize("vectors", [np.zeros((0, 3)), np.ones((1, 3)), np.ones((5, 3)), np.ones((4, 1))])
def test_vectors_without_any_spread_give_no_nan(vectors: np.ndarray) -> None:
    plane = project(vectors)
    assert np.isfinite(plane.points).all()
    assert plane.share == (0.0, 0.0)


def test_one_scale_holds_for_both_axes_of_the_map() -> None:
    (x0, y0), (x1, y1) = spots(np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert x1 - x0 == pytest.approx(y0 - y1)


# ---- spreads -------------------------------------------------------------------------------------


def test_a_histogram_counts_every_finite_number_once() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=999), np.exp(3 * rng.normal(size=999)), np.array([2.0]), np.array([0.0, 0.0])):
        counted = histogram_of(np.append(values, [np.nan, np.inf]))
        assert counted is not None
        assert sum(counted["counts"]) == len(values)
        assert len(counted["edges"]) == len(counted["counts"]) + 1
    for values in (rng.integers(0, 5, 999), rng.integers(1, 100_000, 999)):
        counted = histogram_of(values, whole=True)
        assert counted is not None
        assert sum(counted["counts"]) == 999


def test_norms_that_are_mostly_equal_have_no_outliers() -> None:
    norms = np.array([1.0, 1, 1, 1, 50])
    assert robust_centre(norms) is None
    assert robust_z(norms, None).tolist() == [0] * 5


def test_nothing_has_no_spread() -> None:
    assert spread_of(np.array([np.nan])) is None
    assert histogram_of(np.zeros(0)) is None
    assert robust_centre(np.zeros(3)) is None
