"""Printing the ends of logs, and going on with what is added to them."""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

import click

from livetower.sandbox.errors import SandboxError


def print_logs(paths: Mapping[str, Path], lines: int, follow: bool, go_on: Callable[[], bool] = lambda: True) -> None:
    """Print the last lines of each log, led by its name when there are several; `follow` goes on until Ctrl-C, or until
    `go_on` says no.
    """
    logs = {}
    for name, path in paths.items():
        if not path.exists():
            known = ", ".join(sorted(other.stem for other in path.parent.glob("*.log"))) or "none"
            raise SandboxError(f"no log of {name!r}; there are: {known}")
        logs[name] = RotatingLog(path)
    several = len(logs) > 1
    for name, log in logs.items():
        for line in log.last(lines):
            print_line(name if several else "", line)
    while follow and go_on():
        added = False
        for name, log in logs.items():
            for line in log.added():
                print_line(name if several else "", line)
                added = True
        if not added:
            time.sleep(0.1)


class RotatingLog:
    """A log that may be renamed to PATH.1 and begun anew while it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO = path.open(errors="replace")

    def last(self, lines: int) -> list[str]:
        """The last lines, those of the file before the newest among them; `added` goes on behind them."""
        end = deque(self._file, maxlen=lines)
        before = self._path.with_name(f"{self._path.name}.1")
        if len(end) < lines and before.exists():
            with before.open(errors="replace") as file:
                end.extendleft(reversed(deque(file, maxlen=lines - len(end))))
        return list(end)

    def added(self) -> list[str]:
        """What was added since the last call: the rest of a file that has been renamed, then what is in the new one."""
        replaced = not self._is_open_one()
        lines = self._file.readlines()
        if replaced and self._path.exists():
            self._file.close()
            self._file = self._path.open(errors="replace")
            lines += self._file.readlines()
        return lines

    def _is_open_one(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:  # between the renaming and the first line
            return False


def print_line(name: str, line: str) -> None:
    """Print one line of a log, led by a name unless it is empty."""
    click.echo(f"{name:15} | {line}" if name else line, nl=False)
