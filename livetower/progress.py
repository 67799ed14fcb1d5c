"""Progress of a long command on stderr: bars where it is a terminal, nothing or a line every few seconds elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

LINE_EVERY_S = 5.0


@contextmanager
def progress_bars(*, lines: bool = False) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Bars on stderr, one for each step that is begun with its name and its total; where stderr is no terminal, nothing
    or, with `lines`, one line every LINE_EVERY_S.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def begin(name: str, total: int) -> Callable[[int], None]:
            if lines and not console.is_terminal:
                return lines_of(name, total, lambda line: click.echo(line, err=True))
            task = bars.add_task(name, total=total)
            return lambda done: bars.update(task, completed=done)

        yield begin


def lines_of(
    name: str, total: int, say: Callable[[str], None], clock_s: Callable[[], float] = time.monotonic
) -> Callable[[int], None]:
    """What to call with the number done; it says a line at most every LINE_EVERY_S."""
    next_s = clock_s() + LINE_EVERY_S

    def update(done: int) -> None:
        nonlocal next_s
        if clock_s() >= next_s:
            next_s = clock_s() + LINE_EVERY_S
            say(f"{name}: {done:,} of {total:,}")

    return update
