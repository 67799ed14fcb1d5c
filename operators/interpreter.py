"""What an operator asks of its embedded Python interpreter, which lives as long as the TaskManager, and its thread."""

import gc
import os
from contextlib import suppress
from pathlib import Path

NICE = 5
AUTOGROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """Let others on this machine go first, since training can wait and a list cannot: this thread and those it starts
    become nicer by NICE, and so does the TaskManager.

    A task's thread ends with the task; the TaskManager is asked back by `go_first`.
    """
    os.nice(NICE)  # on Linux it is the thread's own, not the process's
    _set_process_nice(NICE)


def go_first() -> None:
    """Take this TaskManager's full share again, in case it has given way before."""
    _set_process_nice(0)


def _set_process_nice(nice: int) -> None:
    """Linux shares its cores among sessions first (sched(7), autogroup), and a nice thread changes nothing there."""
    with suppress(OSError):  # a system without autogroups shares among threads
        AUTOGROUP.write_text(str(nice))


def keep_out_of_garbage_collection() -> None:
    """Let the garbage collector pass over everything that exists now: the modules, the kernels, torch.

    Call it once an operator is ready. A full collection over half a million such objects takes 100 ms and more, which
    some event would have to wait for; what operators make per event is freed by reference counts.
    """
    gc.collect()
    gc.freeze()
