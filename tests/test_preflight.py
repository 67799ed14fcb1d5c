"""livetower/preflight.py as the Makefile runs it: exit code 1 and one line that says what to do."""

import ast
import http.server
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from restricted import ROOT, modes_count, on_small_disk, refusal, run, silent_port

from livetower import preflight

SCRIPT = ROOT / "livetower" / "preflight.py"
PYTHON = Path(sys.base_prefix) / "bin" / "python3.11"  # not the one of .venv: set-up comes before it
NOTHING = "livetower-needs-no-such-package==1.0"


def setup_where(change: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `preflight.py setup` with something about the machine replaced."""
    code = f"""
import ctypes, importlib.util, os, platform, runpy, sys, sysconfig, tempfile
def fail(*_): raise FileNotFoundError(2, "gone")
{change}
sys.argv = ["preflight.py", "setup"]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    return run([PYTHON, "-c", code], **environment)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("sys.version_info = (3, 12, 1)", "Python 3.11 is needed, .*: install it .*uv python install 3.11"),
        ("platform.system = lambda: 'Darwin'", "Linux is needed .*; got Darwin: use a Linux machine"),
        ("platform.machine = lambda: 'ppc64le'", "x86_64 or aarch64 is needed, .*; got ppc64le: use one of these"),
        ("os.confstr = lambda _: ''", "glibc 2.28 or newer is needed, .*; got another C library: use .*Debian 12"),
        ("os.confstr = lambda _: 'glibc 2.17'", "glibc 2.28 or newer is needed, .*; got glibc 2.17: use .*Debian 12"),
        ("importlib.util.find_spec = lambda _: None", "comes without venv: install it .*apt install python3.11-venv"),
        (
            "sysconfig.get_config_var = lambda _: None; sys.base_prefix = '/nowhere'; ctypes.CDLL = fail",
            "comes without its shared library libpython3.11.so.1.0, .*: install it .*--enable-shared",
        ),
        ("tempfile.gettempdir = fail", "gone: free some disk, or set TMPDIR"),
    ],
)
def test_a_machine_that_will_not_do_is_told_the_cure(change, line):
    assert re.match(f"make: .*{line}", refusal(setup_where(change)))


def test_without_a_wheel_of_flink_a_compiler_is_needed():
    line = refusal(setup_where("platform.machine = lambda: 'aarch64'", PATH="/nowhere"))
    assert re.match("make: apache-flink has no wheel for aarch64, .* needs cc and .*: install them .*gcc", line)


def other_pythons() -> list[Path]:
    """Every Python 3 of another version than ours, where pyenv and Debian put them."""
    found = [*Path.home().glob(".pyenv/versions/3.*/bin/python3"), *Path("/usr/bin").glob("python3.[0-9]*")]
    return [path for path in found if re.search(r"3\.\d+", str(path)) and "3.11" not in str(path)]


def test_every_other_python_that_is_here_says_which_is_needed():
    pythons = other_pythons()
    if not pythons:
        pytest.skip("this machine has no Python but 3.11")
    for python in pythons:
        line = refusal(run([python, SCRIPT, "setup"]))
        assert re.match(r"make: Python 3\.11 is needed, .* is 3\.\d+\.\d+\): install it ", line)


def test_it_keeps_to_the_syntax_of_python_3_6():
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What set-up reads of a clone, in a directory of its own."""
    folder = tmp_path / "checkout"
    files = ("Makefile", "requirements.txt", "requirements-cuda.txt", "pyproject.toml")
    for name in (*files, "livetower/preflight.py", "livetower/sandbox/jars.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("closed", ["checkout", "checkout/.venv"])
def test_a_clone_that_cannot_be_written_is_named(checkout, closed, tmp_path):
    (checkout / ".venv").mkdir()
    (tmp_path / closed).chmod(0o555)
    line = refusal(run(modes_count([PYTHON, checkout / "livetower" / "preflight.py", "setup"])))
    assert re.match(rf"make: {tmp_path}/{closed} must be writable; .*: Permission denied: .*\(chown\)", line)


@pytest.mark.parametrize("closed", ["home", "home/jars"])
def test_a_home_that_cannot_be_written_is_named(tmp_path, closed):
    (tmp_path / "home" / "jars").mkdir(parents=True)
    (tmp_path / closed).chmod(0o555)
    line = refusal(run(modes_count([PYTHON, SCRIPT, "setup"]), LIVETOWER_HOME=str(tmp_path / "home")))
    assert re.match(rf"make: {tmp_path}/{closed} must be writable; .*: Permission denied: set LIVETOWER_HOME", line)


def test_a_home_below_a_file_is_no_place(tmp_path):
    (tmp_path / "file").touch()
    line = refusal(run([PYTHON, SCRIPT, "setup"], LIVETOWER_HOME=f"{tmp_path}/file/home"))
    assert re.match(r"make: .*/file/home must be writable; .*/file: Not a directory: set LIVETOWER_HOME", line)


@pytest.mark.parametrize(
    ("variable", "gb", "place"), [("LIVETOWER_HOME", 0.6, "/home"), ("TMPDIR", 3.6, ""), ("PIP_CACHE_DIR", 3.6, "/c")]
)
def test_a_small_disk_is_named_with_what_it_would_have_to_hold(tmp_path, variable, gb, place):
    command = on_small_disk(tmp_path / "disk", [PYTHON, SCRIPT, "setup"])
    line = refusal(run(command, **{variable: f"{tmp_path}/disk{place}"}))
    said = re.escape(
        f"make: {gb} GB of free disk are needed ({gb} in {tmp_path}/disk{place}); there are 0.1: free some"
    )
    assert re.match(f"{said}.* TMPDIR, PIP_CACHE_DIR or LIVETOWER_HOME to another disk", line)


def test_what_a_directory_holds_already_it_need_not_get_again(tmp_path, monkeypatch):
    for name, value in {"CHECKOUT": str(tmp_path), "HOME": str(tmp_path), "HOME_GB": 0, "DOWNLOAD_GB": 0}.items():
        monkeypatch.setattr(preflight, name, value)
    monkeypatch.setattr(preflight, "VENV_GB", 0.003)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))
    with pytest.raises(preflight.Unmet, match=r"0\.0 GB of free disk are needed"):
        preflight.check_disk()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "half").write_bytes(bytes(1_500_000))
    preflight.check_disk()


def test_a_machine_that_will_do_is_told_what_comes(tmp_path):
    done = run([PYTHON, SCRIPT, "setup"], LIVETOWER_CPU_TORCH="1", PIP_NO_CACHE_DIR="1", LIVETOWER_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Setting up: 0.8 GB to download and 2.0 GB on disk")


def index(requirement: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, SCRIPT, "index", requirement], **environment)


def test_an_index_that_does_not_answer_is_named_without_its_password(tmp_path):
    place = f"127.0.0.1:{silent_port()}/simple"
    file = tmp_path / "pip.conf"
    file.write_text(f"[global]\nindex-url = http://ada:secret@{place}\n")
    for variables in ({"PIP_INDEX_URL": f"http://ada:secret@{place}"}, {"PIP_CONFIG_FILE": str(file)}):
        line = refusal(index(NOTHING, **variables))
        assert line.startswith(f"make: no package index answers at http://{place} (Failed to establish")
        assert line.endswith(": connect to a network, or set PIP_INDEX_URL / HTTPS_PROXY / PIP_CERT")
        assert "secret" not in line


def test_a_proxy_that_does_not_answer_is_no_network():
    line = refusal(index(NOTHING, HTTPS_PROXY=f"http://127.0.0.1:{silent_port()}"))
    assert re.match(r"make: no package index answers at PyPI \(.*Connection refused\): .* HTTPS_PROXY", line)


def test_an_index_without_the_package_is_not_called_silent(tmp_path):
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        line = refusal(index(NOTHING, PIP_INDEX_URL=url))
        server.shutdown()
    assert re.match(
        rf"make: the package index at {url} gave no {NOTHING} \(ERROR: .*\): set PIP_INDEX_URL to one", line
    )


def test_what_is_installed_needs_no_index():
    done = index("click", PIP_INDEX_URL=f"http://127.0.0.1:{silent_port()}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("stderr", "cause"),
    [
        (
            "broken by 'NewConnectionError('<a.B object at 0x7f>: [Errno -3] No name')': /simple/pip/",
            "[Errno -3] No name",
        ),
        (
            """broken by 'NameResolutionError("HTTPSConnection(host='a', port=9): No 'a' ([Errno -3] b)")': /pip/""",
            "No 'a' ([Errno -3] b)",
        ),
        ("ERROR: No matching distribution found for pip==99", None),
    ],
)
def test_why_a_connection_broke_is_said_in_words_of_old_and_new_pip(stderr, cause):
    assert preflight.broken_connection(f"WARNING: Retrying after connection {stderr}") == cause


def make_setup(checkout: Path, **environment: str) -> list[str]:
    """What `make setup` of a clone without .venv writes to stderr when it is refused something."""
    done = run(["/usr/bin/make", "--no-print-directory", "-C", checkout, "setup"], **environment)
    assert done.returncode == 2, done
    return done.stderr.splitlines()


def test_make_stops_at_a_python_that_is_not_3_11(checkout, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "cat", "cksum", "tr"):
        (tools / tool).symlink_to(f"/usr/bin/{tool}")
    old = 'import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path(sys.argv.pop(1), run_name="__main__")'
    script = f"#!/bin/sh\ncase $1 in -c) exit 1 ;; esac\nexec {PYTHON} -c '{old}' \"$@\"\n"
    (tools / "python3").write_text(script)
    (tools / "python3").chmod(0o755)
    line, end = make_setup(checkout, PATH=str(tools))
    assert line.startswith("make: Python 3.11 is needed, for which all packages are pinned")
    assert end.startswith("make: *** ")
    assert not (checkout / ".venv").exists()


def test_make_without_a_network_says_so_in_one_line_before_its_own(checkout):
    place = f"127.0.0.1:{silent_port()}/simple"
    small = {"LIVETOWER_CPU_TORCH": "1", "PIP_NO_CACHE_DIR": "1"}
    path = f"{PYTHON.parent}:/usr/bin:/bin"
    line, end = make_setup(checkout, PIP_INDEX_URL=f"http://{place}", PATH=path, LIVETOWER_HOME="", **small)
    assert line.startswith(f"make: no package index answers at http://{place} (")
    assert end.startswith("make: *** ")
