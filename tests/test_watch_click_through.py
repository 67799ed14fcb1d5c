"""Clicks joined with the lists that they name."""

from livetower.watch.click_through import SNAPSHOTS_MAX, Clicks, ClickThrough

AB = ("a", "b")


def test_clicked_lists_are_counted_by_strategy_and_by_snapshot():
    clicks = ClickThrough()
    clicks.accept_list("ann:1", "hybrid", "0-100", AB)
    clicks.accept_list("ann:2", "hybrid", "0-200", AB)
    clicks.accept_list("bob:1", "popular", "0-200", AB)
    clicks.accept_list("bob:2", "hybrid", "0-200", AB)
    clicks.accept_click("ann:1", 1, "b")
    clicks.accept_click("bob:1", None, "a")
    assert clicks.by_strategy() == (Clicks("hybrid", 3, 1), Clicks("popular", 1, 1))
    assert clicks.by_snapshot(9) == (Clicks("0-200", 3, 1), Clicks("0-100", 1, 1))
    assert clicks.by_strategy()[0].rate == 1 / 3


def test_a_list_counts_as_clicked_once_and_as_delivered_once():
    clicks = ClickThrough()
    for _ in range(2):
        clicks.accept_list("ann:1", "hybrid", "0-100", AB)
        clicks.accept_click("ann:1", 0, "a")
    clicks.accept_click("ann:1", 1, "b")
    assert clicks.by_strategy() == (Clicks("hybrid", 1, 1),)


def test_a_click_on_what_the_list_did_not_hold_there_is_counted_apart():
    clicks = ClickThrough()
    clicks.accept_list("ann:1", "hybrid", "0-100", AB)
    clicks.accept_click("ann:1", 0, "b")
    clicks.accept_click("ann:1", 2, "a")
    clicks.accept_click("ann:1", None, "c")
    clicks.accept_click("ann:0", 0, "a")
    assert (clicks.mistaken, clicks.unknown) == (3, 1)
    assert clicks.by_strategy() == (Clicks("hybrid", 1, 0),)


def test_only_the_newest_lists_can_be_clicked_and_only_the_newest_snapshots_are_told_apart():
    clicks = ClickThrough(lists_max=10)
    for n in range(SNAPSHOTS_MAX + 5):
        clicks.accept_list(f"ann:{n}", "hybrid", f"0-{n}", AB)
    clicks.accept_click("ann:0", 0, "a")
    clicks.accept_click(f"ann:{SNAPSHOTS_MAX}", 0, "a")
    assert (len(clicks._lists), len(clicks._by_snapshot), clicks.unknown) == (10, SNAPSHOTS_MAX, 1)
    assert clicks.by_strategy() == (Clicks("hybrid", SNAPSHOTS_MAX + 5, 1),)
    assert clicks.by_snapshot(1) == (Clicks(f"0-{SNAPSHOTS_MAX}", 1, 1),)
