"""The state file of a sandbox: `sandbox.json` in its run directory, by which other commands find a running one."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from livetower.sandbox.capacity import require_writable
from livetower.sandbox.ports import Ports
from livetower.sandbox.processes import ProcessRecord


@dataclass(slots=True)
class SandboxState:
    """The ports of a sandbox, every process it has started since `up` (ended ones included), and whether it has a
    ZooKeeper.
    """

    ports: Ports = field(default_factory=Ports)
    processes: dict[str, ProcessRecord] = field(default_factory=dict)
    high_availability: bool = False


def state_path(run_dir: Path) -> Path:
    """Return the path of the state file; that it exists marks a directory as a sandbox's."""
    return run_dir / "sandbox.json"


def read_state(run_dir: Path) -> SandboxState:
    """Return the state of a run directory; an empty one when no sandbox was ever started there."""
    with suppress(FileNotFoundError):
        stored = json.loads(state_path(run_dir).read_text())
        processes = {name: ProcessRecord(**record) for name, record in stored["processes"].items()}
        return SandboxState(Ports(**stored["ports"]), processes, stored.get("high_availability", False))
    return SandboxState()


def write_state(run_dir: Path, state: SandboxState) -> None:
    """Replace the state file as a whole, so that a reader never sees half of one."""
    unfinished = state_path(run_dir).with_suffix(".tmp")
    unfinished.write_text(json.dumps(asdict(state), indent=2) + "\n")
    unfinished.replace(state_path(run_dir))


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the run directory for one command that starts or stops processes; a second one waits.

    Raises SandboxError when the directory cannot be written.
    """
    require_writable(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
