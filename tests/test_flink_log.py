import logging

import pytest

from operators import flink_log


class Java:
    """Stands for the JVM's LoggerFactory, and for each logger that it gives."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []
        self._name = ""

    def find_class(self, name: str) -> "Java":
        assert name == "org.slf4j.LoggerFactory"
        return self

    def getLogger(self, name: str) -> "Java":  # noqa: N802  # Java's name
        self._name = name
        return self

    def info(self, text: str) -> None:
        self.said.append((self._name, "info", text))

    def warn(self, text: str) -> None:
        self.said.append((self._name, "warn", text))

    def error(self, text: str) -> None:
        self.said.append((self._name, "error", text))


@pytest.fixture
def java(monkeypatch):
    """A JVM, and the operators' logger as it was when the test is over."""
    logger = logging.getLogger(flink_log.OPERATORS)
    for name, value in (("handlers", []), ("level", logging.NOTSET), ("propagate", True)):
        monkeypatch.setattr(logger, name, value)
    yield Java()
    logger.manager._clear_cache()


def test_what_an_operator_logs_reaches_flinks_logger_of_that_name(java):
    flink_log.begin(java.find_class)
    log = logging.getLogger("operators.publisher")
    log.debug("too much")
    log.info("example %d", 7)
    log.warning("late")
    try:
        raise ValueError("no such row")
    except ValueError:
        log.exception("broken")
    *before, (name, level, text) = java.said
    assert before == [("operators.publisher", "info", "example 7"), ("operators.publisher", "warn", "late")]
    assert (name, level) == ("operators.publisher", "error")
    assert text.startswith("broken\nTraceback")
    assert text.endswith("ValueError: no such row")


def test_a_second_job_in_the_same_process_logs_each_record_once(java):
    flink_log.begin(java.find_class)
    flink_log.begin(java.find_class)
    logging.getLogger("operators.publisher").warning("once")
    assert len(java.said) == 1


def test_outside_of_a_jvm_logging_stays_as_it_is(java):
    flink_log.log_to_flink()
    assert logging.getLogger(flink_log.OPERATORS).handlers == []
