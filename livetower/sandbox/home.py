"""Where a clone keeps what it downloads and writes: `.livetower/`, or the directory that LIVETOWER_HOME names.

    jars/     resolved once, each checked against its digest (jars.py)
    numba/    compiled kernels, shared by tests and TaskManagers
    sandbox/  the default run directory of `livetower up`

The first two are safe to remove at any time: they are filled again.
"""

import os
from pathlib import Path


def source_root() -> Path:
    """Return the directory that holds the packages: the clone, or site-packages when installed from a wheel."""
    return Path(__file__).parents[2]


def livetower_home() -> Path:
    """Return LIVETOWER_HOME, else `.livetower` in the clone, else (installed from a wheel) in the current directory."""
    if named := os.environ.get("LIVETOWER_HOME"):
        return Path(named).absolute()
    root = source_root()
    return (root if (root / "pyproject.toml").exists() else Path.cwd()) / ".livetower"


def default_run_dir() -> Path:
    """Return the run directory of a sandbox for which none is named."""
    return livetower_home() / "sandbox"
