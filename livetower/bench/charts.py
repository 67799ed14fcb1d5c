"""Charts as SVG, so that a page needs no library, neither to draw it nor to read it. Pure: numbers in, text out."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 640, 280, 60, 40, 45, 20
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df")
Points = Sequence[tuple[float, float]]


def line_chart(title: str, x_name: str, y_name: str, series: Mapping[str, Points]) -> str:
    """One line per series, both axes from 0."""
    x_end = max((x for points in series.values() for x, _ in points), default=0) or 1
    y_end = max((y for points in series.values() for _, y in points), default=0) or 1
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts = axes(title, x_name, y_name, x_end, y_end)
    for n, (name, points) in enumerate(series.items()):
        colour = COLOURS[n % len(COLOURS)]
        path = " ".join(f"{LEFT + wide * x / x_end:.1f},{TOP + high * (1 - y / y_end):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(text(LEFT + 12, TOP + 14 + 16 * n, name, colour=colour))
    return svg(parts)


def bar_chart(title: str, x_name: str, bars: Mapping[str, float]) -> str:
    """One bar per name, from the left, with its number."""
    longest = max(bars.values(), default=0) or 1
    high = (HEIGHT - TOP - BOTTOM) / max(len(bars), 1)
    left, wide = 190, WIDTH - 190 - 80
    parts = [text(WIDTH / 2, 20, title, anchor="middle"), text(WIDTH / 2, HEIGHT - 12, x_name, anchor="middle")]
    for n, (name, value) in enumerate(bars.items()):
        y, length = TOP + n * high, max(0.0, wide * value / longest)
        parts.append(
            f'<rect x="{left}" y="{y + 3:.1f}" width="{length:.1f}" height="{high - 6:.1f}" fill="{COLOURS[0]}"/>'
        )
        parts.append(text(left - 8, y + high / 2 + 4, name, anchor="end"))
        parts.append(text(left + length + 6, y + high / 2 + 4, f"{value:,.1f}"))
    return svg(parts)


def axes(title: str, x_name: str, y_name: str, x_end: float, y_end: float) -> list[str]:
    """Frame, title, names, and the numbers at the ends."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    return [
        f'<path d="M{LEFT},{TOP}V{bottom}H{right}" fill="none" stroke="#888"/>',
        text(WIDTH / 2, 20, title, anchor="middle"),
        text(WIDTH / 2, HEIGHT - 10, x_name, anchor="middle"),
        text(LEFT - 6, TOP - 10, y_name),
        text(LEFT - 6, bottom + 4, "0", anchor="end"),
        text(LEFT - 6, TOP + 6, f"{y_end:,.0f}", anchor="end"),
        text(right, bottom + 16, f"{x_end:,.0f}", anchor="end"),
    ]


def text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = "#333") -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def svg(parts: Sequence[str]) -> str:
    """The document."""
    style = 'font-family="sans-serif" font-size="13"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>", ""])
