"""The page of `livetower inspect stats --html`: one file with its charts as SVG. It fetches nothing and runs no script;
what lies under the pointer is named by the SVG's titles, and the colours follow the reader's light or dark scheme.

Pure: the JSON of stats.py and the tower in, a text out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from livetower.inspect.projection import project
from livetower.inspect.spread import OUTLIER_Z, PERCENTILES
from livetower.inspect.stats_tables import (
    ITEM_NUMBERS,
    ITEM_TROUBLE,
    USER_NUMBERS,
    USER_TROUBLE,
    called,
    short,
)
from livetower.inspect.stored_tower import StoredTower

POINTS: Final = 5_000
"""So many items are drawn at most, those with most events; each is about 150 bytes of the page."""
CATEGORIES: Final = 10
OTHER: Final = "other"
WIDTH, HEIGHT = 400, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 34
MAP_WIDTH, MAP_HEIGHT = 860, 620

# Paul Tol's and Okabe and Ito's hues, told apart by colour-blind readers as far as ten can be; darker on white.
LIGHT = ("#0072b2", "#d55e00", "#009e73", "#aa3377", "#b8860b", "#5b4fc4", "#2a9fd6", "#7a5230", "#d6336c", "#5c7f00")
DARK = ("#4da3e0", "#ff8a4c", "#2fd0a0", "#e07ac0", "#f0c350", "#a79bff", "#7fd4ff", "#c99a6b", "#ff7fa8", "#a9d13f")


def report_html(found: Mapping[str, Any], tower: StoredTower | None) -> str:
    """The page of these statistics."""
    users, items = found["users"], found["items"]
    parts = [
        f"<h1>Learned state of checkpoint {found['checkpoint_id']}</h1>",
        f'<p class="quiet">{escape(found["uri"])}</p>',
        tiles(found),
    ]
    if tower is not None:
        parts += ["<h2>The items, seen along their two main axes</h2>", item_map(tower)]
    parts += [f"<h2>{users['count']:,} users</h2>", charts(users, USER_NUMBERS)]
    parts += [spread_table(users["spread"], USER_NUMBERS), trouble_table(users, USER_TROUBLE)]
    if items is not None:
        parts += [f"<h2>{items['count']:,} items</h2>", charts(items, ITEM_NUMBERS)]
        parts += [spread_table(items["spread"], ITEM_NUMBERS), trouble_table(items, ITEM_TROUBLE)]
    parts += ["<h2>Users by subtask</h2>", subtasks(found["key_groups"]), footnotes()]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Learned state of checkpoint {found['checkpoint_id']}</title>\n<style>{style()}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def style() -> str:
    """Colours of both schemes, and the few rules of the page."""
    light = "".join(f"--c{n}:{colour};" for n, colour in enumerate(LIGHT))
    dark = "".join(f"--c{n}:{colour};" for n, colour in enumerate(DARK))
    classes = "".join(f".c{n}{{fill:var(--c{n})}}" for n in range(CATEGORIES))
    return (
        ":root{color-scheme:light dark;--back:#fff;--ink:#1d2329;--quiet:#66707a;--line:#d5dae0;"
        f"--none:#aab2ba;{light}}}"
        "@media(prefers-color-scheme:dark){:root{--back:#14181c;--ink:#e4e8ec;--quiet:#98a2ac;--line:#363e46;"
        f"--none:#5d6670;{dark}}}}}"
        "body{background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif;max-width:900px;"
        "margin:2rem auto;padding:0 1rem}"
        "h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.15rem;margin-top:2.2rem}.quiet{color:var(--quiet)}"
        ".tiles{display:flex;flex-wrap:wrap;gap:.6rem 2.2rem;margin:1rem 0}.tiles b{display:block;font-size:1.35rem}"
        ".tiles span{color:var(--quiet)}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));"
        "gap:1rem}figure{margin:0}figcaption{font-weight:600}svg{width:100%;height:auto;display:block}"
        "table{border-collapse:collapse;width:100%;margin:1rem 0;font-variant-numeric:tabular-nums;font-size:.92rem}"
        "th,td{text-align:right;padding:.25rem .5rem;border-bottom:1px solid var(--line)}"
        "th:first-child,td:first-child,td.words{text-align:left}th{font-weight:600}"
        "svg text{fill:var(--quiet);font:11px system-ui,sans-serif}.axis{stroke:var(--line);fill:none}"
        f".bar{{fill:var(--c0)}}.none{{fill:var(--none)}}{classes}"
        "circle{fill-opacity:.75}circle:hover{fill-opacity:1;stroke:var(--ink);stroke-width:1.5}"
        ".legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.4rem 0;font-size:.92rem}"
        ".legend svg{display:inline-block;width:11px;height:11px;margin-right:.35rem}"
    )


def tiles(found: Mapping[str, Any]) -> str:
    """The figures that one looks for first."""
    users, items = found["users"], found["items"]
    figures = {"users": f"{users['count']:,}", "bytes of user state": f"{users['bytes']:,}"}
    if items is not None:
        figures |= {
            "items": f"{items['count']:,}",
            "dimension": f"{items['dimension']}",
            "examples trained": f"{items['examples']:,}",
            "epoch": f"{items['epoch']}",
        }
    sick = sum(part[kind]["count"] for part in (users, items) if part for kind in ("non_finite", "outliers"))
    figures["vectors not finite or far outside"] = f"{sick + users['unreadable']['count']:,}"
    return (
        '<div class="tiles">' + "".join(f"<div><b>{n}</b><span>{k}</span></div>" for k, n in figures.items()) + "</div>"
    )


# ---- the map -------------------------------------------------------------------------------------


def item_map(tower: StoredTower) -> str:
    """The items as points coloured by category, and the legend."""
    plane = project(tower.vectors)
    if len(plane.rows) < 2:
        return '<p class="quiet">There are too few items to draw.</p>'
    shown = np.argsort(-tower.events[plane.rows], kind="stable")[:POINTS]
    hashes = tower.hashes[plane.rows[shown]].tolist()
    categories = [tower.category_of(item) for item in hashes]
    colours = colours_of(categories)

    def drawn_as(category: str) -> str:
        return category if category in colours else OTHER

    common = Counter(map(drawn_as, categories))
    places = spots(plane.points[shown])
    marks = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" class="{colours.get(category, "none")}">'
        f"<title>{escape(label(tower, item, category))}</title></circle>"
        for (x, y), size, item, category in zip(
            places, radii(tower.events[plane.rows[shown]]), hashes, categories, strict=True
        )
    ]
    # Rare categories lie on top, and of one category the items with most events.
    order = sorted(range(len(marks)), key=lambda n: (-common[drawn_as(categories[n])], -n))
    first, second = (f"{100 * share:.0f}%" for share in plane.share)
    words = f"Principal components: the horizontal axis shows {first} of the variance, the vertical one {second}."
    if len(shown) < len(tower.hashes):
        words += f" The {len(shown):,} items with most events of {len(tower.hashes):,}."
    words += " A point grows with its item's events."
    drawing = f'<svg viewBox="0 0 {MAP_WIDTH} {MAP_HEIGHT}" role="img" aria-label="{escape(words)}">'
    frame = f'<rect x="0.5" y="0.5" width="{MAP_WIDTH - 1}" height="{MAP_HEIGHT - 1}" class="axis"/>'
    points = f"<figure>{drawing}{frame}{''.join(marks[n] for n in order)}</svg></figure>"
    return f'{legend(categories, colours)}{points}<p class="quiet">{words}</p>'


def colours_of(categories: Sequence[str]) -> dict[str, str]:
    """Category → class of its colour, for the CATEGORIES that have most items; '' has none."""
    counted = Counter(category for category in categories if category)
    largest = sorted(counted, key=lambda category: (-counted[category], category))[:CATEGORIES]
    return {category: f"c{n}" for n, category in enumerate(largest)}


def legend(categories: Sequence[str], colours: Mapping[str, str]) -> str:
    """Colour, category and how many items are drawn of it."""
    counted = Counter(category if category in colours else OTHER for category in categories)
    names = [*colours, *([OTHER] if counted[OTHER] else [])]
    dots = [
        f'<span><svg viewBox="0 0 10 10"><circle cx="5" cy="5" r="5" class="{colours.get(name, "none")}"/></svg>'
        f'{escape(name)} <span class="quiet">{counted[name]:,}</span></span>'
        for name in names
    ]
    return f'<div class="legend">{"".join(dots)}</div>'


def label(tower: StoredTower, item: int, category: str) -> str:
    """What a point's tooltip says."""
    row = tower.rows[item]
    kind = f"\n{category}" if category else ""
    return f"{tower.title_of(item)}{kind}\n{int(tower.events[row]):,} events, norm {short(float(tower.norms[row]))}"


def spots(points: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Points (m, 2) as places in the map: one scale for both axes, so that distances are true."""
    low, high = points.min(0), points.max(0)
    room = np.array([MAP_WIDTH - 40.0, MAP_HEIGHT - 40.0])
    extent = np.where(high > low, high - low, 1.0)
    scale = float((room / extent).min())
    at = (points - (low + high) / 2) * (scale, -scale) + (MAP_WIDTH / 2, MAP_HEIGHT / 2)
    return [(x, y) for x, y in at.tolist()]


def radii(events: NDArray[np.int64]) -> list[float]:
    """Radius (m,) of each point: its area grows with the logarithm of the events."""
    most = max(1.0, float(np.log1p(events.max(initial=1))))
    sizes: list[float] = (2.0 + 4.5 * np.sqrt(np.log1p(np.maximum(events, 0)) / most) ** 2).tolist()
    return sizes


# ---- histograms and tables -----------------------------------------------------------------------


def charts(part: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """A histogram for each number that has one."""
    drawn = [histogram(words, part["histogram"][name]) for name, words in names.items() if part["histogram"][name]]
    return f'<div class="charts">{"".join(drawn)}</div>'


def histogram(title: str, counted: Mapping[str, Any]) -> str:
    """Bars of one histogram; where its edges grow by a factor the axis is logarithmic."""
    edges, counts = np.array(counted["edges"]), counted["counts"]
    plus = counted["plus"]
    axis = np.log(edges + plus) if counted["log"] else edges
    span = float(axis[-1] - axis[0]) or 1.0
    wide, high, bottom = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM, HEIGHT - BOTTOM
    xs = (LEFT + wide * (axis - axis[0]) / span).tolist()
    most = max(counts) or 1
    bars = [
        f'<rect class="bar" x="{left:.2f}" y="{bottom - high * n / most:.2f}" '
        f'width="{max(0.6, right - left - 0.8):.2f}" height="{high * n / most:.2f}">'
        f"<title>{short(low)} to {short(top)}: {n:,}</title></rect>"
        for left, right, low, top, n in zip(xs, xs[1:], edges.tolist(), edges[1:].tolist(), counts, strict=False)
        if n
    ]
    marks = []
    for value in ticks(float(edges[0]), float(edges[-1]), log=counted["log"]):
        place = np.log(value + plus) if counted["log"] else value
        x = LEFT + wide * (place - float(axis[0])) / span
        marks.append(
            f'<path class="axis" d="M{x:.1f},{bottom}v4"/>'
            f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{short(value)}</text>'
        )
    scale = ", logarithmic" if counted["log"] else ""
    return (
        f'<figure><figcaption>{escape(title)}<span class="quiet">{scale}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="histogram of {escape(title)}">'
        f'<path class="axis" d="M{LEFT},{TOP}V{bottom}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 8}" text-anchor="end">{most:,}</text>'
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>{"".join(marks)}{"".join(bars)}</svg></figure>'
    )


def ticks(low: float, high: float, *, log: bool) -> list[float]:
    """About five round numbers between the ends.

    >>> ticks(0.0, 97.0, log=False), ticks(0.5, 3_000.0, log=True)
    ([0.0, 20.0, 40.0, 60.0, 80.0], [1.0, 10.0, 100.0, 1000.0])
    """
    if log and low < 0:
        return [0.0, *ticks(1.0, high, log=True)]
    if log:
        first, last = int(np.ceil(np.log10(low))), int(np.floor(np.log10(high)))
        tens = [10.0**n for n in range(first, last + 1)]
        if len(tens) >= 3:
            return tens
        return [m * 10.0**n for n in range(first - 1, last + 1) for m in (1, 2, 5) if low <= m * 10.0**n <= high]
    if high <= low:
        return [low]
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(next(m * power for m in (1, 2, 5, 10) if m * power >= rough))
    return [n * step for n in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def spread_table(spreads: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Percentiles of each number."""
    cuts = (*PERCENTILES, "mean")
    head = "<tr><th></th>" + "".join(f"<th>{cut}</th>" for cut in cuts) + "</tr>"
    rows = [
        f"<tr><td>{words}</td>" + "".join(f"<td>{short(spreads[name][cut])}</td>" for cut in cuts) + "</tr>"
        for name, words in names.items()
        if spreads[name] is not None
    ]
    return f"<table>{head}{''.join(rows)}</table>"


def trouble_table(part: Mapping[str, Any], kinds: Mapping[str, str]) -> str:
    """How many vectors are sick, and which."""
    rows = [
        f"<tr><td>{words}</td><td>{part[kind]['count']:,}</td>"
        f'<td class="words">{escape(", ".join(called(each) for each in part[kind]["named"]))}</td></tr>'
        for kind, words in kinds.items()
    ]
    return f"<table><tr><th>vectors</th><th>how many</th><th></th></tr>{''.join(rows)}</table>"


def subtasks(groups: Mapping[str, Any]) -> str:
    """Users and bytes of each subtask."""
    skew = "" if groups["skew"] is None else f" The fullest has {groups['skew']:.2f} times the mean."
    rows = [
        "<tr>" + "".join(f"<td>{each[name]:,}</td>" for name in ("subtask", "key_groups", "users", "bytes")) + "</tr>"
        for each in groups["subtasks"]
    ]
    words = f"{groups['max_parallelism']} key groups on {groups['parallelism']} subtasks.{skew}"
    head = "<tr><th>subtask</th><th>key groups</th><th>users</th><th>bytes</th></tr>"
    return f"<p>{words}</p><table>{head}{''.join(rows)}</table>"


def footnotes() -> str:
    """What the words of the page mean."""
    return (
        f'<p class="quiet">An outlier lies more than {OUTLIER_Z:g} robust standard deviations (1.4826 times the median '
        "absolute deviation) from the median of the logarithms of the norms. A user is idle since its newest event, "
        "counted to the newest event of all users. The items are as the tower last wrote them, at most 8,000 inputs "
        "before the checkpoint.</p>"
    )
