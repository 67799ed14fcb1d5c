import os
import threading

from operators.interpreter import NICE, give_way


def test_a_thread_that_gives_way_leaves_the_others_as_they_are():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    after = []

    def note() -> None:
        after.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def work() -> None:
        give_way()
        note()
        started = threading.Thread(target=note)
        started.start()
        started.join()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert after == [min(before + NICE, 19)] * 2
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
