"""docs/consuming.md says what the code does."""

import json
import re

import pytest
from restricted import ROOT

from livetower.consume import SCHEMAS, NewestLists
from models.records import parse_interaction, recommendation_bytes_max
from models.strategies import Strategy

PAGE = (ROOT / "docs" / "consuming.md").read_text()


@pytest.mark.parametrize(("top_k", "size"), re.findall(r"^\| (\d+) \| ([\d,]+) \|$", PAGE, re.MULTILINE))
def test_the_largest_record_is_as_long_as_the_page_says(top_k, size):
    assert recommendation_bytes_max(int(top_k)) == int(size.replace(",", ""))


def test_the_sizes_are_there_to_be_tested():
    assert len(re.findall(r"^\| (\d+) \| ([\d,]+) \|$", PAGE, re.MULTILINE)) == 4


def test_every_link_leads_to_a_file_and_every_schema_is_named():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
    assert links == ["consumer_example.py", "guarantees.md"]
    assert set(re.findall(r"^\| `(\w+)\.json` \|", PAGE, re.MULTILINE)) == set(SCHEMAS)


def test_the_interaction_on_the_page_is_accepted():
    (block,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    event = parse_interaction(
        block.encode(), json.loads(block)["event_time_ms"], max_bytes=4_096, future_tolerance_ms=0
    )
    assert (event.rec_id, event.position) == ("ada:web-3", 0)


def test_the_python_on_the_page_runs(monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    given = []

    class Consumer:
        def __init__(self, *names: str, group_id: str) -> None:
            given.append((*names, group_id))

        def run(self, take_list: object, forget_user: object) -> None:
            given.append((take_list, forget_user))

    monkeypatch.setattr("livetower.consume.ListConsumer", Consumer)
    names: dict = {}
    exec(compile(block, "consuming.md", "exec"), names)  # noqa: S102  # the page is ours
    assert given[0] == ("localhost:9092", "shop")
    assert isinstance(names["newest"], NewestLists)


def test_every_counter_of_clicks_is_named():
    assert all(f"`attributed_{strategy}`" in PAGE for strategy in Strategy)
