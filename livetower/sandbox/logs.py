"""Printing the ends of logs, and going on with what is added to them."""

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import click

from livetower.sandbox.errors import SandboxError


def print_logs(paths: Mapping[str, Path], lines: int, follow: bool) -> None:
    """Print the last lines of each log, led by its name when there are several; `follow` goes on until Ctrl-C."""
    files: dict[str, TextIO] = {}
    for name, path in paths.items():
        if not path.exists():
            known = ", ".join(sorted(other.stem for other in path.parent.glob("*.log"))) or "none"
            raise SandboxError(f"no log of {name!r}; there are: {known}")
        files[name] = path.open(errors="replace")
    several = len(files) > 1
    for name, file in files.items():
        for line in deque(file, maxlen=lines):
            print_line(name if several else "", line)
    while follow:
        added = False
        for name, file in files.items():
            for line in file:
                print_line(name if several else "", line)
                added = True
        if not added:
            time.sleep(0.1)


def print_line(name: str, line: str) -> None:
    """Print one line of a log, led by a name unless it is empty."""
    click.echo(f"{name:15} | {line}" if name else line, nl=False)
