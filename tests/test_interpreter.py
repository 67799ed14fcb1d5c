import os
import threading

import pytest

from operators import interpreter
from operators.interpreter import NICE, give_way, go_first


@pytest.fixture
def autogroup(tmp_path, monkeypatch):
    """A file in place of the one by which this process would tell the kernel its share."""
    monkeypatch.setattr(interpreter, "AUTOGROUP", tmp_path / "autogroup")
    return tmp_path / "autogroup"


def test_a_thread_that_gives_way_leaves_the_others_as_they_are(autogroup):
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


def test_a_taskmanager_that_gave_way_is_asked_back(autogroup, monkeypatch):
    monkeypatch.setattr(os, "nice", lambda _: None)
    give_way()
    assert autogroup.read_text() == str(NICE)
    go_first()
    assert autogroup.read_text() == "0"


def test_a_system_without_autogroups_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreter, "AUTOGROUP", tmp_path / "none" / "autogroup")
    go_first()
