"""A person's terminal: one bash for each block of commands, which begins where the last one ended.

What the person would see of it goes to a log: the commands, their seconds, their exit code and their last lines.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LAST_LINES = 8
NETWORK = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_", "REQUESTS_CA_BUNDLE")
"""What a person behind a proxy has set before all else."""


def bare_environment(home: Path) -> dict[str, str]:
    """As after a login: no variable of ours, nor of the tests around."""
    kept = {name: value for name, value in os.environ.items() if name.upper().startswith(NETWORK)}
    return kept | {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}


class Terminal:
    """Runs blocks in `folder`. What a block exports, the next ones have."""

    def __init__(self, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")

    def run(self, mark: str, block: str, *, strict: bool = True, timeout_s: float = 240) -> str:
        """Run a block to its end, or its first command that fails, and return what it has printed.

        What has failed fails the test too, unless it is not `strict`.
        """
        left = self.folder.parent / "environment"
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", f"{block}\nenv -0 > {left}"],
            cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        self.note(mark, block, time.monotonic() - began, done.returncode, done.stdout)
        assert done.returncode == 0 or not strict, f"{mark}: exit code {done.returncode}\n{block}\n{done.stdout}"
        if done.returncode == 0:
            self.environment = dict(line.split("=", 1) for line in left.read_text().split("\0") if line)
        return done.stdout

    @contextmanager
    def beside(self, mark: str, block: str) -> Iterator[Path]:
        """Run one command in a second terminal and yield the file it prints to; at the end SIGTERM must stop it."""
        printed = self.folder.parent / f"{mark}.txt"
        began = time.monotonic()
        with printed.open("w") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {block}"],
                cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                yield printed
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    code = process.wait(120)
                except subprocess.TimeoutExpired:
                    process.kill()
                    code = process.wait()
                self.note(f"{mark}, in a second terminal", block, time.monotonic() - began, code, printed.read_text())
        assert code == 0, f"{mark}: exit code {code}\n{printed.read_text()}"

    def note(self, mark: str, block: str, seconds: float, code: int, printed: str) -> None:
        """Add a block to the log."""
        typed = "".join(f"$ {line}\n" for line in block.splitlines())
        last = "".join(f"    {line}\n" for line in printed.splitlines()[-LAST_LINES:])
        with self.log.open("a") as file:
            file.write(f"== {mark}: {seconds:.1f} s, exit code {code}\n{typed}{last}\n")
