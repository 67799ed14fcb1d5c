"""The digest of the code that learns, so that a submission and the TaskManagers that run it can be told apart.

The embedded interpreter lives as long as its TaskManager: a job submitted with changed code would go on with the
modules already imported. What to do about it is the submission's (livetower/sandbox replaces the TaskManagers).
"""

import hashlib
from pathlib import Path

from pyflink.datastream import RuntimeContext

from operators.unrecoverable import suppress_restarts


def code_digest() -> str:
    """sha256, in hex, over the names and contents of all Python files of `models` and `operators` as they lie on disk
    now.
    """
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for file in sorted([*root.glob("models/**/*.py"), *root.glob("operators/**/*.py")]):
        digest.update(f"{file.relative_to(root)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


IMPORTED_DIGEST = code_digest()
"""The digest when this process imported the operators: what it runs."""


class OtherCode(RuntimeError):
    """This TaskManager runs other code than was submitted."""


def require_submitted_code(submitted: str, context: RuntimeContext) -> None:
    """Raise OtherCode, and end the job, unless this process runs the code that was submitted."""
    if submitted != IMPORTED_DIGEST:
        error = OtherCode(
            f"the job was submitted with code {submitted[:12]} but this TaskManager imported {IMPORTED_DIGEST[:12]}: "
            "restart the TaskManagers (livetower submit does it in the sandbox), or install the same wheel everywhere"
        )
        suppress_restarts(context, error)
        raise error
