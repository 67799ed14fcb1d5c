"""Whether the machine has room for a sandbox: memory, disk, and the right to write. Asked before anything is started.

It does not know what the processes do with it. What set-up needs stands in livetower/preflight.py.
"""

import re
import shutil
from pathlib import Path

from livetower.preflight import nearest_existing, write_trouble
from livetower.sandbox.errors import SandboxError

MEMINFO = Path("/proc/meminfo")
RUN_DIR_MIB = 1024  # a demo leaves 480; Kafka keeps a week


def require_memory(needed_mib: int) -> None:
    """Raise SandboxError unless the kernel can give that much without swapping (proc(5), MemAvailable)."""
    found = re.search(r"^MemAvailable: +(\d+) kB$", MEMINFO.read_text(), re.MULTILINE)
    if found is None:
        raise SandboxError(f"{MEMINFO} has no line MemAvailable: a Linux of version 3.14 or newer is needed")
    if (available_mib := int(found[1]) // 1024) < needed_mib:
        raise SandboxError(
            f"{needed_mib} MiB of memory are needed, and {available_mib} MiB are available: end other programs, or "
            "start fewer TaskManagers"
        )


def require_disk(directory: Path, needed_mib: int = RUN_DIR_MIB) -> None:
    """Raise SandboxError unless so much is free on the disk of this directory, which need not exist yet."""
    free_mib = shutil.disk_usage(nearest_existing(str(directory))).free // 2**20
    if free_mib < needed_mib:
        raise SandboxError(
            f"{needed_mib} MiB of free disk are needed in {directory}, and {free_mib} MiB are free: free some, or "
            "name a directory on another disk (--run-dir or LIVETOWER_HOME)"
        )


def require_writable(directory: Path) -> None:
    """Raise SandboxError unless files can be made in this directory, or where it would be made."""
    if trouble := write_trouble(str(directory)):
        raise SandboxError(
            f"{directory} must be writable; {trouble}: change its owner (chown), or name a directory of yours "
            "(--run-dir or LIVETOWER_HOME)"
        )
