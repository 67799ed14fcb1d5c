"""What an operator asks of its embedded Python interpreter, which lives as long as the TaskManager, and its thread."""

import gc
import os

NICE = 5


def give_way() -> None:
    """Let the other threads of this machine go first: this thread and those it starts become nicer by NICE.

    Training can wait, a list cannot. A task's thread ends with the task, so nothing has to be undone.
    """
    os.nice(NICE)  # on Linux it is the thread's own, not the process's


def keep_out_of_garbage_collection() -> None:
    """Let the garbage collector pass over everything that exists now: the modules, the kernels, torch.

    Call it once an operator is ready. A full collection over half a million such objects takes 100 ms and more, which
    some event would have to wait for; what operators make per event is freed by reference counts.
    """
    gc.collect()
    gc.freeze()
