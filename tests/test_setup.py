import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)(\s+#.*)?$")


def pins(file: str) -> dict[str, str]:
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    matches = [PINNED.match(line) for line in lines]
    assert all(matches), lines
    return {match[1]: match[2] for match in matches if match}


def test_what_is_installed_is_what_is_pinned():
    pinned = pins("requirements.txt")
    assert {name: version(name).split("+")[0] for name in pinned} == pinned  # a CPU-only torch is 2.15.0+cpu


def test_every_direct_dependency_has_its_reason():
    direct = (ROOT / "requirements.txt").read_text().split("# Needed by the above")[0].splitlines()
    assert [line for line in direct if "==" in line and "  # " not in line] == []


@pytest.mark.parametrize(
    ("package", "statement"),
    [
        ("models", "import pyflink.table"),
        ("models", "import confluent_kafka"),
        ("models", "import logging"),
        ("models", "from operators import rows"),
        ("operators", "import confluent_kafka"),
        ("operators", "from flink_jobs import settings"),
        ("flink_jobs", "from livetower.sandbox import Sandbox"),
        ("flink_jobs", "import livetower"),
    ],
)
def test_an_import_against_the_direction_is_refused(package, statement):
    ruff = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", f"{package}/new.py", "-"]
    run = subprocess.run(ruff, input=f"{statement}\n", capture_output=True, text=True, cwd=ROOT, check=False)
    assert "TID251" in run.stdout


def make(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/make", *arguments], capture_output=True, text=True, cwd=ROOT, env={"PATH": path}, check=False
    )


def test_without_any_python_setup_says_so_and_stops(tmp_path):
    for tool in ("sh", "cat", "cksum", "tr", "test", "echo"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    run = make("setup", "STAMP=.venv/never-there", path=str(tmp_path))
    assert run.returncode != 0
    assert run.stderr.startswith("make: Python 3.11 is needed")


def test_a_second_setup_says_and_does_nothing(tmp_path):
    stamp = tmp_path / "ready"
    stamp.touch()
    run = make("setup", f"STAMP={stamp}", path="/usr/bin:/bin")
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "make: Nothing to be done for 'setup'.", "")
