"""One view as lines, as JSON and on a screen; the user that is followed."""

import doctest
import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from livetower.watch import bounded, figures, followed, freshness, lines, popularity, recent, view
from livetower.watch.click_through import Clicks
from livetower.watch.followed import Entry, FollowedUser, ShownList
from livetower.watch.hit_rates import HitRates
from livetower.watch.lines import view_json, view_lines
from livetower.watch.screen import Lines, Screen
from livetower.watch.view import SnapshotSeen, View

TOY_STORY = {"1": "Toy Story (1995)"}
VIEW = View(
    elapsed_s=15.2,
    part="500/s",
    events_per_s=498.6,
    freshness_p50_ms=2.5,
    freshness_p99_ms=19.0,
    snapshot=SnapshotSeen("1-2000", 850),
    rates=HitRates(scored=1000, live_hits=220, popularity_hits=100),
    lag=1_204,
    shown=ShownList("405", (Entry("1", "Toy Story (1995)", "↑2"), Entry("9", "9", ""))),
)
EMPTY = View(5, "full speed", 0, None, None, None, HitRates(0, 0, 0), None)


def test_the_lines_show_speed_freshness_table_hit_rates_lag_and_a_list():
    figures = (
        "  15 s  500/s     499 events/s  freshness p50 2.5 ms p99 19.0 ms  snapshot 1-2000 aged 850 ms"
        "  hit@10 .2200, popularity .1000  lag 1,204  rejected none"
    )
    assert view_lines(VIEW) == [
        figures,
        "        user 405: Toy Story (1995) ↑2 · 9",
    ]


def test_before_the_first_list_no_numbers_are_shown_for_what_is_unknown():
    (line,) = view_lines(EMPTY)
    assert line == (
        "   5 s  full speed       0 events/s  freshness p50 n/a p99 n/a  no list yet  hit@10 n/a, popularity n/a"
        "  lag n/a  rejected none"
    )


CLICKED = replace(
    VIEW,
    part="",
    rejected={"no_key": 1, "future_time": 30},
    by_strategy=(Clicks("hybrid", 1000, 20), Clicks("popular", 10, 0)),
    by_snapshot=(Clicks("1-2000", 500, 20),),
)


def test_rejections_have_their_reasons_and_clicks_their_strategy_and_snapshot():
    assert view_lines(CLICKED)[0].endswith(
        "  lag 1,204  rejected future_time 30, no_key 1  clicks hybrid .0200 of 1,000, popular .0000 of 10"
        "  by snapshot 1-2000 .0400 of 500"
    )
    assert view_lines(CLICKED)[0].startswith("  15 s     499 events/s")


def test_clicks_that_belong_to_no_list_are_said():
    stray = replace(CLICKED, by_strategy=(), by_snapshot=(), unknown_clicks=7, mistaken_clicks=1)
    assert "  clicks none (7 on lists not seen, 1 on items not there)" in view_lines(stray)[0]


def test_a_view_is_json_for_programs():
    told = json.loads(json.dumps(view_json(CLICKED)))
    assert told["snapshot"] == {"name": "1-2000", "age_ms": 850}
    assert told["rates"] == {"scored": 1000, "live_hits": 220, "popularity_hits": 100, "live": 0.22, "popularity": 0.1}
    assert told["by_strategy"][0] == {"name": "hybrid", "lists": 1000, "clicked": 20, "rate": 0.02}
    assert told["shown"]["entries"][0] == {"item_id": "1", "title": "Toy Story (1995)", "move": "↑2"}
    assert view_json(EMPTY)["rates"]["live"] is None


def test_the_screen_shows_all_that_the_lines_show():
    drawn = io.StringIO()
    with Screen(Console(file=drawn, force_terminal=True, width=120, color_system=None)) as screen:
        screen.show(CLICKED)
    for text in (
        "499", "p50 2.5 ms p99 19.0 ms", "1-2000 aged 850 ms", ".2200, popularity .1000", "1,204",
        "future_time 30, no_key 1", "hybrid .0200 of 1,000", "user 405", "Toy Story (1995)", "↑2",
    ):  # fmt: skip
        assert text in drawn.getvalue()


def test_titles_with_brackets_are_no_markup_and_a_narrow_terminal_cuts_them():
    drawn = io.StringIO()
    shown = ShownList("7", (Entry("1", "[bold]" + "x" * 200, "new"),))
    with Screen(Console(file=drawn, force_terminal=True, width=40, color_system=None)) as screen:
        screen.show(replace(VIEW, shown=shown))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.getvalue())
    titles = [line for line in plain.splitlines() if "xxx" in line]
    assert titles
    assert all("[bold]xxx" in line and len(line.strip("\r")) <= 40 for line in titles)


def test_what_is_said_while_the_screen_shows_stays_above_it():
    drawn = io.StringIO()
    with Screen(Console(file=drawn, force_terminal=True, width=80, color_system=None)) as screen:
        screen.show(VIEW)
        screen.say("7 events got no [list]")
    assert "7 events got no [list]\n" in drawn.getvalue().replace("\r", "")


def test_a_renderer_of_lines_says_them_as_they_are():
    said: list[str] = []
    with Lines(said.append) as renderer:
        renderer.show(VIEW)
        renderer.say("more")
    assert said == [*view_lines(VIEW), "more"]


# ---- the user that is followed -------------------------------------------------------------------


def test_a_user_is_followed_while_active_and_moves_are_those_since_the_list_before():
    user = FollowedUser(quiet_s=5)
    assert user.shown(TOY_STORY) is None
    user.accept_list("ann", (0, 1), ["1", "2"], now_s=0)
    user.accept_list("bob", (0, 1), ["7", "8"], now_s=4.9)
    assert user.shown(TOY_STORY) == ShownList("ann", (Entry("1", "Toy Story (1995)", ""), Entry("2", "2", "")))
    user.accept_list("ann", (0, 2), ["2", "3", "1"], now_s=4.9)
    assert user.shown(TOY_STORY) == ShownList(
        "ann", (Entry("2", "2", "↑1"), Entry("3", "3", "new"), Entry("1", "Toy Story (1995)", "↓2"))
    )
    user.accept_list("bob", (0, 2), ["7"], now_s=9.8)
    assert user.shown({}).user_id == "ann"
    user.accept_list("bob", (0, 3), ["7"], now_s=9.9)
    assert user.shown({}) == ShownList("bob", (Entry("7", "7", ""),))


def test_a_list_that_is_delivered_late_or_again_is_not_shown():
    user = FollowedUser()
    for version, item_ids in (((0, 2), ["1"]), ((0, 1), ["2"]), ((0, 2), ["3"])):
        user.accept_list("ann", version, item_ids, now_s=0)
    assert [entry.item_id for entry in user.shown({}).entries] == ["1"]
    user.accept_list("ann", (1, 1), ["4"], now_s=0)  # a new state of the user
    assert [entry.item_id for entry in user.shown({}).entries] == ["4"]


def test_a_title_is_shown_as_one_line():
    user = FollowedUser()
    user.accept_list("ann", (0, 1), ["1"], now_s=0)
    assert user.shown({"1": "Toy\n\tStory"}).entries[0].title == "Toy Story"


def test_a_user_that_was_asked_for_is_the_only_one_shown():
    user = FollowedUser("ann", quiet_s=5)
    user.accept_list("bob", (0, 1), ["7"], now_s=0)
    assert user.shown({}) is None
    user.accept_list("ann", (0, 1), ["1"], now_s=1)
    user.accept_list("bob", (0, 2), ["7"], now_s=100)
    assert user.shown({}).user_id == "ann"


@pytest.mark.parametrize("module", [bounded, figures, followed, freshness, lines, popularity, recent, view])
def test_the_examples_in_docstrings_are_right(module: object):
    tried = doctest.testmod(module)
    assert tried.attempted > 0
    assert tried.failed == 0
