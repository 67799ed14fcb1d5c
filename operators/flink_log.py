"""What the operators say through `logging`, in the log of their TaskManager: it rotates, and Flink's web UI shows it.

Without this Python would print warnings past the log, to a stderr that nothing bounds, and drop what is less.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, Final

OPERATORS: Final = "operators"
"""The logger above those of all modules here."""


class FlinkLog(logging.Handler):
    """Hands each record to the Java logger of the same name. Only a thread of the JVM, as a task's is, may use it."""

    def __init__(self, find_class: Callable[[str], Any]) -> None:
        super().__init__()
        self._factory = find_class("org.slf4j.LoggerFactory")

    def emit(self, record: logging.LogRecord) -> None:
        logger = self._factory.getLogger(record.name)
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            logger.error(text)
        elif record.levelno >= logging.WARNING:
            logger.warn(text)
        else:
            logger.info(text)


def log_to_flink() -> None:
    """Send what all operators log, from INFO on, to Flink; nothing changes in a Python that no JVM embeds."""
    if "pemja" not in sys.modules:
        return
    from pemja import findClass

    begin(findClass)


def begin(find_class: Callable[[str], Any]) -> None:
    """The same with this way to a Java class; once a process, since operators of later jobs share it."""
    logger = logging.getLogger(OPERATORS)
    if not any(isinstance(handler, FlinkLog) for handler in logger.handlers):
        logger.addHandler(FlinkLog(find_class))
        logger.setLevel(logging.INFO)
        logger.propagate = False
