"""The JSON Schemas (draft 2020-12) of Livetower's records, for producers and consumers in any language.

What a schema accepts the parsers accept, but for what a schema cannot say: a number written 5.0 is no whole number
here, `event_time_ms` may lie at most five minutes after the record's Kafka timestamp, the value has at most
model.max_record_bytes, and the key is the user's or item's id. Tests hold both sides together.
"""

import json
from importlib.resources import files
from typing import Any

SCHEMAS = ("interaction", "item", "command", "recommendation", "announcement", "rejected_headers")


def read_schema(name: str) -> dict[str, Any]:
    """One of SCHEMAS as a dictionary, ready for a validator."""
    schema: dict[str, Any] = json.loads(files(__package__).joinpath(f"{name}.json").read_text("utf-8"))
    return schema
