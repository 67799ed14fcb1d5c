"""Read recommendations from Kafka: typed records, a client that commits what is done, the newest list of a user.

    from livetower.consume import ListConsumer, NewestLists, stop_on_signals

It needs confluent_kafka and `models.records` only: no Flink, numba or torch. docs/consuming.md is the page for its
users and for consumers in other languages, docs/consumer_example.py a complete one. Read next: client.py.
"""

from livetower.consume.client import ListConsumer, Received, stop_on_signals
from livetower.consume.errors import ConsumeError
from livetower.consume.find_list import find_newest_list
from livetower.consume.newest import NewestLists
from livetower.consume.recommendation import Recommendation, RecommendedItem, Snapshot, parse_recommendation
from livetower.consume.schemas import SCHEMAS, read_schema

__all__ = [
    "SCHEMAS",
    "ConsumeError",
    "ListConsumer",
    "NewestLists",
    "Received",
    "Recommendation",
    "RecommendedItem",
    "Snapshot",
    "find_newest_list",
    "parse_recommendation",
    "read_schema",
    "stop_on_signals",
]
