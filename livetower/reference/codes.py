"""The page docs/codes.md: every code that Livetower says to programs, what it means and what to do.

python -m livetower.reference.codes > docs/codes.md      # after a change; a test compares the two
"""

from livetower.settings_table import field_docstrings
from models.records import Reason
from operators.publisher import LOG_CODES

HEAD = """\
# Codes

A code keeps its meaning from version to version; the words beside it may change. The findings `LT-DOC-…` of
`livetower doctor` have [a page of their own](doctor.md).

This page is written by `python -m livetower.reference.codes > docs/codes.md`.
"""


def codes_page() -> str:
    """The page: reasons of rejected records and codes of the job's log.

    Raises LookupError for a reason without a docstring.
    """
    return HEAD + reasons_section() + log_section()


def reasons_section() -> str:
    """Why a record was rejected."""
    meanings = field_docstrings(Reason)
    unexplained = [reason.name for reason in Reason if reason.name not in meanings]
    if unexplained:
        raise LookupError(f"Reason.{unexplained[0]} has no docstring: say in models/records.py what it means")
    rows = "".join(f"| `{reason}` | {' '.join(meanings[reason.name].split())} |\n" for reason in Reason)
    return f"""
## Rejected records

The header `reason` of a record on the topic `rejected`; the header `detail` says the same of the very record, in
words. Key and value are the original bytes: what was mended can be sent again.

| reason | meaning |
| --- | --- |
{rows}"""


def log_section() -> str:
    """What the job's log names by a code."""
    rows = "".join(f"| `{code}` | {meaning} |\n" for code, meaning in LOG_CODES.items())
    return f"""
## The job's log

| code | meaning, and what to do |
| --- | --- |
{rows}"""


if __name__ == "__main__":
    print(codes_page(), end="")
