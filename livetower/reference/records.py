"""The page docs/records.md: every topic and the fields of its records, from the JSON Schemas and models/records.py.

python -m livetower.reference.records > docs/records.md      # after a change; a test compares the two
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flink_jobs.settings import TopicSettings
from livetower.consume.schemas import read_schema
from livetower.settings_table import field_docstrings
from models.records import EventType
from models.settings import EVENT_WEIGHTS


class Topic(NamedTuple):
    """Where the records of a schema are."""

    setting: str
    """Its field of TopicSettings, whose default is the topic's name."""
    writer: str


TOPICS = {
    "interaction": Topic("interactions", "You write them."),
    "item": Topic("items", "You write them."),
    "command": Topic("commands", "`livetower command` writes them."),
    "recommendation": Topic("recommendations", "The job writes them, you read them."),
    "rejected_headers": Topic("rejected", "The job writes them, you read them."),
    "announcement": Topic("item_snapshots", "The job writes and reads them; you may read them."),
}
HEAD = """\
# Records

JSON in UTF-8. The JSON Schemas (draft 2020-12) from which this page is made are in the package, in
`livetower/consume/schemas`; `livetower.consume.read_schema("interaction")` reads one. One example of each is in the
[README](../README.md). How lists are read, in Python and elsewhere: [consuming](consuming.md).

This page is written by `python -m livetower.reference.records > docs/records.md`.
"""


def records_page() -> str:
    """The page: a section for each schema, and one for the event types."""
    return HEAD + "".join(record_section(name, topic) for name, topic in TOPICS.items()) + event_types_section()


def record_section(name: str, topic: Topic) -> str:
    """What one topic holds: its description and a row for each field, nested ones by their path."""
    schema = read_schema(name)
    topic_name = getattr(TopicSettings(), topic.setting)
    meaning = " ".join(field_docstrings(TopicSettings)[topic.setting].split())
    rows = "".join(f"| `{path}` | {kind} | {need} | {said} |\n" for path, kind, need, said in fields_of(schema, schema))
    return f"""
## {topic_name}

{meaning} {topic.writer} Another name: `topics.{topic.setting}`.

{schema["description"]}

| {"header" if name == "rejected_headers" else "field"} | type | needed | meaning |
| --- | --- | --- | --- |
{rows}"""


def fields_of(part: Mapping[str, Any], root: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(path, type, "yes" or "", meaning) of each field of an object, those of nested objects behind it."""
    needed = {*part.get("required", ()), *part.get("else", {}).get("required", ())}
    for name, field in part.get("properties", {}).items():
        field = part.get("else", {}).get("properties", {}).get(name, {}) | field
        said = field.get("description", "")
        if "$ref" in field:
            field = root["$defs"][field["$ref"].rsplit("/", 1)[1]] | field
        yield path + name, kind_of(field, root), "yes" if name in needed else "", said.replace("<", "&lt;")
        within = field.get("items", {}) if field.get("type") == "array" else field
        mark = "[]." if within is not field else "."
        yield from fields_of(within, root, path + name + mark)


def kind_of(field: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """The type of a field in words; `root` holds what it refers to.

    >>> kind_of({"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 9}, {})
    'integer or null, 0 to 8'
    >>> kind_of({"enum": ["a", None]}, {}), kind_of({"const": 1}, {})
    ('`a`, null', '1')
    >>> kind_of({"type": "array", "maxItems": 1_000, "items": {"$ref": "#/$defs/id"}}, {"$defs": {"id": {"const": 1}}})
    'array of 1, at most 1,000'
    """
    if "$ref" in field:
        return kind_of(root["$defs"][field["$ref"].rsplit("/", 1)[1]], root)
    if "const" in field:
        return str(field["const"])
    if "enum" in field:
        return ", ".join("null" if value is None else f"`{value}`" for value in field["enum"])
    if "type" not in field:
        return " or ".join(kind_of(option, root) for option in field["anyOf"])
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    within = field.get("items", field.get("additionalProperties"))
    words = " or ".join(f"{kind} of {kind_of(within, root)}" if within and kind != "null" else kind for kind in types)
    if "integer" in types and "minimum" in field:
        highest = field.get("maximum", field.get("exclusiveMaximum", 0) - 1)
        return words + (f", {field['minimum']} to {highest}" if highest > 0 else f", {field['minimum']} or more")
    return words + (f", at most {field['maxItems']:,}" if "maxItems" in field else "")


def event_types_section() -> str:
    """What each event type teaches."""
    rows = "".join(f"| `{kind}` | {EVENT_WEIGHTS.get(kind, 'not learned')} |\n" for kind in EventType)
    return f"""
## Event types

{" ".join((inspect.getdoc(EventType) or "").split())}

| event_type | default weight |
| --- | --- |
{rows}"""


if __name__ == "__main__":
    print(records_page(), end="")
