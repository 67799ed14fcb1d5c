"""The real states in tests/fixtures/states (write_states.py), unpacked where a test wants them."""

import json
import tarfile
from pathlib import Path
from typing import Any

STATES = Path(__file__).parent / "fixtures" / "states"
WAYS = ("incremental", "full", "native", "canonical")
KINDS = {
    "incremental": "incremental checkpoint",
    "full": "full checkpoint",
    "native": "native savepoint",
    "canonical": "canonical savepoint",
}


def unpacked(way: str, directory: Path) -> Path:
    """The directory of the state, with what it shares beside it."""
    with tarfile.open(STATES / f"{way}.tar.gz") as archive:
        archive.extractall(directory, filter="data")
    (found,) = [path.parent for path in directory.rglob("_metadata")]
    return found


def expected(way: str) -> dict[str, Any]:
    """users (id → blob), last_lists, offsets, written_before_ms: by models.recommender.advance, without Flink."""
    holds = json.loads((STATES / "expected.json").read_text())[way]
    return holds | {"users": {user: bytes.fromhex(blob) for user, blob in holds["users"].items()}}
