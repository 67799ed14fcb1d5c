"""Waiting for a condition of a starting sandbox, and giving up early when one of its processes has died."""

import time
from collections.abc import Callable
from pathlib import Path

from livetower.sandbox.errors import SandboxError

TIMEOUT_S = 120  # three JVMs on one slow core need about 60


def wait_until(what: str, ready: Callable[[], bool], check_alive: Callable[[], None]) -> None:
    """Wait until `ready()`; `check_alive` raises when waiting on is useless."""
    deadline = time.monotonic() + TIMEOUT_S
    while not ready():
        check_alive()
        if time.monotonic() > deadline:
            raise SandboxError(f"{what} does not answer after {TIMEOUT_S} s: `livetower logs` may say why")
        time.sleep(0.05)


def died_message(name: str, *files: Path, lines: int = 8) -> str:
    """Say that a process ended during the start, with the last lines of what it has written."""
    said = [f"{name} ended while it was starting"]
    for file in files:
        if file.exists() and (end := file.read_text(errors="replace").splitlines()[-lines:]):
            said += [f"the end of {file}:", *end]
    return "\n  ".join(said)
