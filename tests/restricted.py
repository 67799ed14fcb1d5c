"""Commands that get less than this machine gives: no right to write, a small disk, a port that nobody answers."""

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(command: Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the clone, with these variables on top and none of pip's, nor of a make around the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE"))}
    variables = own | {"PIP_CONFIG_FILE": os.devnull} | environment
    return subprocess.run(list(map(str, command)), env=variables, capture_output=True, text=True, cwd=ROOT, check=False)


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command ended that was refused something."""
    assert result.returncode == 1, result
    (line,) = result.stderr.splitlines()
    return line


def modes_count(command: Sequence[str | Path]) -> list[str | Path]:
    """The command, without root's right to go and write where a directory's mode forbids it."""
    without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    return [*without, *command]


def on_small_disk(folder: Path, command: Sequence[str | Path]) -> list[str | Path]:
    """The command, with an empty disk of 64 MiB on `folder` for it alone; skips the test where nobody may mount."""
    folder.mkdir(exist_ok=True)
    script = 'mount -t tmpfs -o size=64m none "$0" && exec "$@"'
    mounted = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, folder]
    if shutil.which("unshare") is None or subprocess.run([*mounted, "true"], check=False).returncode != 0:
        pytest.skip("needs unshare(1) and the right to mount in a namespace of one's own")
    return [*mounted, *command]


def silent_port() -> int:
    """A port on which nothing listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port
