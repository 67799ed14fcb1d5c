"""What a job says of itself, to whoever asks Flink later: Flink's global job parameters.

Flink shows them in its web UI and at /jobs/ID/config as long as it knows the job, on every cluster and in application
mode too, so that an upgrade can be compared with what runs (livetower/operations). Values of Kafka properties are left
out, since they may be secrets.
"""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from flink_jobs import tables
from flink_jobs.settings import JobSettings, settings_json
from flink_jobs.topology import LEARN_AND_RECOMMEND, TRAIN_ITEM_TOWER
from models import examples, snapshots, tower_progress, tower_rows, tower_stream, user_state
from operators.code_digest import code_digest

PREFIX: Final = "livetower."
UIDS: Final = (
    LEARN_AND_RECOMMEND,
    TRAIN_ITEM_TOWER,
    *(f"source-{table}" for table in (tables.INTERACTIONS, tables.ITEMS, tables.ITEM_SNAPSHOTS, tables.COMMANDS)),
    f"source-{tables.INTERACTIONS_PRIORITY}",
    *(f"sink-{table}" for table in (tables.RECOMMENDATIONS, tables.ITEM_SNAPSHOTS, tables.REJECTED)),
)
"""What a checkpoint's states are found by again, in a job with both lanes."""


def version_of(mark: bytes | str) -> int:
    """The version at the end of a blob's magic or format.

    >>> version_of(b"LTU2"), version_of("livetower-item-snapshot-12")
    (2, 12)
    """
    text = mark.decode() if isinstance(mark, bytes) else mark
    (digits,) = re.findall(r"\d+$", text)
    return int(digits)


BLOB_VERSIONS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "user state": version_of(user_state.MAGIC),
        "example": version_of(examples.MAGIC),
        "tower input": version_of(tower_stream.MAGIC),
        "tower block": version_of(tower_rows.MAGIC),
        "tower progress": version_of(tower_progress.FORMAT),
        "item snapshot": version_of(snapshots.FORMAT),
    }
)
"""What this code writes into Flink's state and into snapshots. It reads older versions, no newer ones."""


def uids_of(settings: JobSettings) -> list[str]:
    """The uids of a job with these settings, sorted."""
    absent = set() if settings.topics.interactions_priority else {f"source-{tables.INTERACTIONS_PRIORITY}"}
    return sorted(set(UIDS) - absent)


def job_facts(settings: JobSettings) -> dict[str, str]:
    """The parameters of a job that this code submits with these settings."""
    return {
        f"{PREFIX}settings": settings_json(settings),
        f"{PREFIX}code": code_digest(),
        f"{PREFIX}uids": json.dumps(uids_of(settings)),
        f"{PREFIX}blobs": json.dumps(dict(BLOB_VERSIONS)),
    }
