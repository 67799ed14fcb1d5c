"""Shows views: drawn in place on a terminal, as lines elsewhere. What they say stands in lines.py.

A view is drawn at most twice a second, by the caller's thread and as plain lines of text. That takes 0.7 ms of CPU, and
7.8 ms with tables of Rich's own; freshness is measured in the same process, so it would show.
"""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self

from livetower.watch import lines
from livetower.watch.lines import SNAPSHOTS_SHOWN
from livetower.watch.view import View

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

REDRAW_EVERY_S = 0.5
LINE_EVERY_S = 5.0
PLACES_SHOWN = 10
MOVE_STYLES = {"n": "bold green", "↑": "green", "↓": "red"}


class Renderer(Protocol):
    """Something that shows a view every `every_s` seconds, and sentences in between."""

    every_s: float

    def show(self, view: View) -> None: ...
    def say(self, line: str) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class Lines:
    """A line of figures and a list every five seconds."""

    every_s = LINE_EVERY_S

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def show(self, view: View) -> None:
        for line in lines.view_lines(view):
            self.say(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Screen:
    """The newest view, in place; the last one stays when it ends."""

    every_s = REDRAW_EVERY_S

    def __init__(self, console: "Console") -> None:
        from rich.live import Live

        self._console = console
        self._live = Live(console=console, auto_refresh=False)

    def show(self, view: View) -> None:
        self._live.update(drawn(view), refresh=True)

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


class JsonLines:
    """One JSON object a line, every five seconds, for programs."""

    every_s = LINE_EVERY_S

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def show(self, view: View) -> None:
        self.say(json.dumps(lines.view_json(view), ensure_ascii=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def choose_renderer(say: Callable[[str], None]) -> Renderer:
    """A screen where standard output is a terminal, lines elsewhere."""
    if not sys.stdout.isatty():
        return Lines(say)
    from rich.console import Console

    console = Console()
    return Screen(console) if console.is_terminal and not console.is_dumb_terminal else Lines(say)


def drawn(view: View) -> "Text":
    """The view as styled lines; what is wider than the terminal is cut."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    figures = {
        "events/s": f"{view.events_per_s:,.0f}",
        "freshness": lines.freshness_text(view),
        "lag": lines.lag_text(view),
        "snapshot": lines.snapshot_text(view),
        "hit@10": f"{lines.hits_text(view)}  over {view.rates.scored:,} events",
        "rejected": lines.rejected_text(view.rejected),
    }
    if view.by_strategy:
        figures["clicks"] = lines.clicks_text(view.by_strategy) + lines.stray_text(view)
        figures["by snapshot"] = lines.clicks_text(view.by_snapshot[:SNAPSHOTS_SHOWN])
    text.append(f"Livetower  {view.elapsed_s:.0f} s", "bold").append(f"  {view.part}\n")
    for name, figure in figures.items():
        text.append(f"  {name:<13}", "dim").append(f"{figure}\n")
    if view.shown is not None:
        text.append(f"  user {view.shown.user_id}\n", "bold")
        for place, entry in enumerate(view.shown.entries[:PLACES_SHOWN], 1):
            text.append(f"  {place:>3}  ", "dim").append(f"{entry.move:<4} ", MOVE_STYLES.get(entry.move[:1], ""))
            text.append(f"{entry.title}\n")
    text.right_crop(1)
    return text
