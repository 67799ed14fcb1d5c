"""The page docs/codes.md: every code that Livetower says to programs, what it means and what to do.

python -m livetower.reference.codes > docs/codes.md      # after a change; a test compares the two
"""

from livetower.inspect.codes import CODES, WARNINGS
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
    """The page: reasons of rejected records, codes of the job's log, and those of `livetower inspect`.

    Raises LookupError for a reason without a docstring.
    """
    return HEAD + reasons_section() + log_section() + inspect_section()


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


def inspect_section() -> str:
    """What is wrong with a checkpoint, a savepoint or an item snapshot."""
    rows = "".join(
        f"| `{code}` | {'warning' if code in WARNINGS else 'error'} | {meaning} | {cure}. |\n"
        for code, (meaning, cure) in sorted(CODES.items())
    )
    return f"""
## livetower inspect

A command that cannot go on prints one line with the code, what was needed and what came, and the cure, and ends with
exit code 2. `verify` lists all it finds: 1xx files and operators, 2xx what stands in them, 3xx what was asked, 4xx item
snapshots. With a warning a job starts all the same. [Inspect what was learned](inspect.md) says what to do with them.

| code | severity | meaning | what to do |
| --- | --- | --- | --- |
{rows}"""


if __name__ == "__main__":
    print(codes_page(), end="")
