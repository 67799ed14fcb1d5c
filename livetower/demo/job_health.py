"""What Flink's REST API says about a job in trouble, as one sentence. Knows neither Kafka nor the demo's aims."""

from collections.abc import Callable
from typing import Any

from livetower.sandbox.rest import root_cause

ENDED = frozenset({"FAILED", "CANCELED", "FINISHED", "SUSPENDED"})
UNREACHABLE = "UNREACHABLE"
LONGEST_CAUSE = 600


class JobHealth:
    """One job, asked through `rest`, which turns a path below the REST address into the decoded JSON answer."""

    def __init__(self, rest: Callable[[str], Any], job_id: str) -> None:
        self._rest = rest
        self._job_id = job_id

    def state(self) -> str:
        """Flink's word for the job's state, such as RUNNING; UNREACHABLE while the REST API does not answer."""
        try:
            return str(self._rest(f"/jobs/{self._job_id}")["state"])
        except OSError:
            return UNREACHABLE

    def has_failed(self) -> bool:
        """Whether Flink has a failure of the job on record, be it running again or not."""
        try:
            return bool(self._rest(f"/jobs/{self._job_id}/exceptions")["exceptionHistory"]["entries"])
        except OSError:
            return False

    def trouble(self) -> str:
        """State and root cause of the newest failure in one line, for an error message."""
        try:
            failures = self._rest(f"/jobs/{self._job_id}/exceptions")["exceptionHistory"]["entries"]
        except OSError as error:
            return f"job {self._job_id} is {UNREACHABLE}: Flink's REST API does not answer ({error})"
        cause = one_line(root_cause(failures[0]["stacktrace"])) if failures else "no exception is on record"
        return f"job {self._job_id} is {self.state()}: {cause}"


def one_line(text: str) -> str:
    r"""The text with every run of white space as one space, cut in the middle if it is long: both ends tell most.

    >>> one_line("Caused by: X: row 3\n   is not finite")
    'Caused by: X: row 3 is not finite'
    """
    line = " ".join(text.split())
    if len(line) <= LONGEST_CAUSE:
        return line
    return f"{line[: LONGEST_CAUSE // 2]} … {line[-LONGEST_CAUSE // 2 :]}"
