"""What an operator asks of the embedded Python interpreter, which lives as long as its TaskManager."""

import gc


def keep_out_of_garbage_collection() -> None:
    """Let the garbage collector pass over everything that exists now: the modules, the kernels, torch.

    Call it once an operator is ready. A full collection over half a million such objects takes 100 ms and more, which
    some event would have to wait for; what operators make per event is freed by reference counts.
    """
    gc.collect()
    gc.freeze()
