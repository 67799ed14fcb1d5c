"""A view as text and as JSON: one line of figures and one list. Pure. screen.py draws the same view on a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from livetower.watch.click_through import Clicks
from livetower.watch.followed import Entry, ShownList
from livetower.watch.view import View

TITLES_SHOWN = 4
SNAPSHOTS_SHOWN = 3


def view_lines(view: View) -> list[str]:
    """The line of figures, and below it a user's list if one was seen."""
    return [status_line(view), *([] if view.shown is None else [list_line(view.shown)])]


def status_line(view: View) -> str:
    """Speed, freshness (p50, p99), item table and hit rates; then what waits, what was rejected, what was clicked."""
    figures = [
        f"{view.elapsed_s:4.0f} s",
        view.part,
        f"{view.events_per_s:6,.0f} events/s",
        f"freshness {freshness_text(view)}",
        "no list yet" if view.snapshot is None else f"snapshot {snapshot_text(view)}",
        f"hit@10 {hits_text(view)}",
        f"lag {lag_text(view)}",
        f"rejected {rejected_text(view.rejected)}",
        *([f"clicks {clicks_text(view.by_strategy)}{stray_text(view)}"] if any_clicked(view) else []),
        *([f"unreadable lists {view.unreadable:,}"] if view.unreadable else []),
        *([f"by snapshot {clicks_text(view.by_snapshot[:SNAPSHOTS_SHOWN])}"] if any_clicked(view) else []),
    ]
    return "  ".join(filter(None, figures))


def list_line(shown: ShownList) -> str:
    """The first places of a user's list, by title."""
    return f"        user {shown.user_id}: {' · '.join(entry_text(entry) for entry in shown.entries[:TITLES_SHOWN])}"


def view_json(view: View) -> dict[str, Any]:
    """The view for programs: every field of it, and rates as numbers (null where nothing was scored)."""
    rates = {"live": view.rates.live, "popularity": view.rates.popularity}
    fields = asdict(view)
    fields["rates"] |= rates
    for name, clicks in (("by_strategy", view.by_strategy), ("by_snapshot", view.by_snapshot)):
        fields[name] = [asdict(each) | {"rate": each.rate} for each in clicks]
    return fields


# ---- the parts, which the screen shows too -------------------------------------------------------


def entry_text(entry: Entry) -> str:
    """A title, and how it came there.

    >>> entry_text(Entry("1", "Toy Story (1995)", "↑2")), entry_text(Entry("9", "9", ""))
    ('Toy Story (1995) ↑2', '9')
    """
    return f"{entry.title} {entry.move}".rstrip()


def freshness_text(view: View) -> str:
    """Its two percentiles."""
    return f"p50 {format_ms(view.freshness_p50_ms)} p99 {format_ms(view.freshness_p99_ms)}"


def snapshot_text(view: View) -> str:
    """Name and age."""
    return "n/a" if view.snapshot is None else f"{view.snapshot.name} aged {format_ms(view.snapshot.age_ms)}"


def hits_text(view: View) -> str:
    """Both hit rates."""
    return f"{format_rate(view.rates.live)}, popularity {format_rate(view.rates.popularity)}"


def lag_text(view: View) -> str:
    """Interactions that wait."""
    return "n/a" if view.lag is None else f"{view.lag:,}"


def rejected_text(rejected: Mapping[str, int]) -> str:
    """Reasons with their counts, the most frequent first.

    >>> rejected_text({"no_key": 2, "future_time": 1_200}), rejected_text({})
    ('future_time 1,200, no_key 2', 'none')
    """
    counts = sorted(rejected.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in counts) or "none"


def any_clicked(view: View) -> bool:
    """Whether there is a click-through to show."""
    return any(each.clicked for each in view.by_strategy) or bool(stray_text(view))


def stray_text(view: View) -> str:
    """Clicks that belong to no list, '' if there are none."""
    if not view.unknown_clicks and not view.mistaken_clicks:
        return ""
    return f" ({view.unknown_clicks:,} on lists not seen, {view.mistaken_clicks:,} on items not there)"


def clicks_text(clicks: Sequence[Clicks]) -> str:
    """Clicked lists of all lists, each under its name.

    >>> clicks_text([Clicks("hybrid", 1_250, 40), Clicks("popular", 300, 0)])
    'hybrid .0320 of 1,250, popular .0000 of 300'
    """
    return ", ".join(f"{each.name} {format_rate(each.rate)} of {each.lists:,}" for each in clicks) or "none"


def format_ms(ms: float | None) -> str:
    """A duration with three significant digits or so.

    >>> format_ms(2.345), format_ms(123.4), format_ms(12_345.6), format_ms(None)
    ('2.3 ms', '123 ms', '12.3 s', 'n/a')
    """
    if ms is None:
        return "n/a"
    if ms >= 10_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.1f} ms" if ms < 100 else f"{ms:.0f} ms"


def format_rate(rate: float | None) -> str:
    """A hit rate with four digits.

    >>> format_rate(0.22113), format_rate(0.0), format_rate(None)
    ('.2211', '.0000', 'n/a')
    """
    return "n/a" if rate is None else f"{rate:.4f}".removeprefix("0")
