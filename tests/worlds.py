"""Small worlds for the tests of models/: events, item tables, examples, and a tower's stream of inputs."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson

from models.erasure import encode_erasure
from models.examples import Example, encode_example, fingerprints
from models.hashing import hash_id
from models.item_table import CLASSES, ItemTable, Popularity, make_item_table
from models.recommender import Advance, advance
from models.records import EventType, Interaction
from models.settings import ModelSettings, TowerSettings
from models.tower_stream import InputKind, Shed, TowerInput, TowerStream
from models.user_state import UserState, decode_user_state, encode_user_state

START_MS = 1_760_000_000_000
MODEL = ModelSettings(dimension=8, recent_items=4, negatives=10, top_k=5, consumed_max=16, dedup_max=6)
TOWER = TowerSettings(
    batch=8,
    replay_window=64,
    negatives=8,
    negatives_when_behind=2,
    half_lives=(20.0, 1_000.0),
    admission_events=1,
    content_columns=12,
    content_warm_events=3,
    content_every=24,
)


def event(
    n: int, item: str = "i0", kind: EventType = EventType.VIEW, *, user: str = "u", at_ms: int = -1, **fields: Any
) -> Interaction:
    """The n-th event of a user, a minute after the one before, unless `at_ms` says otherwise."""
    at_ms = at_ms if at_ms >= 0 else START_MS + 60_000 * n
    if kind is EventType.PROFILE and not fields:
        fields = {"items": (item,)}
    item = "" if kind in (EventType.REQUEST, EventType.PROFILE, EventType.ERASE) else item
    return Interaction(f"{user}-{n}", user, item, kind, at_ms, **fields)


def item_table(n_items: int = 30, seed: int = 0, *, dimension: int = 8, **changed: Any) -> ItemTable:
    """Items i0, i1 … with random vectors, biases and popularity at two half-lives."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"i{n}" for n in range(n_items))
    popularity = Popularity(
        counts=rng.random((n_items, 2)).astype(np.float32) * 10,
        cold=rng.random(n_items) < 0.2,
        cold_counts=np.array([0.5, 2], np.float32),
        alpha=rng.random((CLASSES, 2)).astype(np.float32),
        gamma=rng.random(CLASSES).astype(np.float32) + 0.5,
        floor=0.01,
    )
    parts = {
        "epoch": 0,
        "trained_events": 100,
        "created_ms": START_MS,
        "sha256": "",
        "hashes": np.array([hash_id(item_id) for item_id in ids]),
        "vectors": rng.normal(size=(n_items, dimension)).astype(np.float32),
        "biases": rng.normal(size=n_items).astype(np.float32),
        "available": np.ones(n_items, np.bool_),
        "ids": ids,
        "titles": ids,
        "popularity": popularity,
    }
    return make_item_table(**(parts | changed))


def replay(
    events: Iterable[Interaction],
    table: ItemTable | None,
    settings: ModelSettings = MODEL,
    state: UserState | None = None,
    *,
    through_bytes: bool = False,
) -> list[Advance]:
    """Advance one user over these events; with `through_bytes` its state is encoded and decoded in between."""
    results = []
    for e in events:
        result = advance(state, e, table, e.event_time_ms + 7, settings)
        state = decode_user_state(encode_user_state(result.state)) if through_bytes else result.state
        results.append(result)
    return results


def example(
    user: str = "u", item: str = "i0", *, recent: Sequence[str] = (), consumed: Sequence[str] = (), seed: int = 0
) -> Example:
    """An example with a random embedding and random weights."""
    rng = np.random.default_rng(seed)
    return Example(
        activity=seed % CLASSES,
        user=hash_id(user),
        positive=hash_id(item),
        kafka_ms=START_MS + seed,
        weight=1.0,
        embedding=rng.normal(size=MODEL.dimension).astype(np.float32),
        recent_weights=rng.random(len(recent)).astype(np.float32),
        recent=np.array([hash_id(i) for i in recent], np.int64),
        consumed=fingerprints(np.array([hash_id(i) for i in consumed], np.int64)),
        item_id=item,
    )


def example_input(of: Example, *, shed: int = Shed.NOTHING) -> TowerInput:
    return TowerInput(InputKind.EXAMPLE, encode_example(of), Shed(shed))


def item_input(item_id: str, **fields: Any) -> TowerInput:
    return TowerInput(InputKind.ITEM, orjson.dumps({"item_id": item_id} | fields))


def erasure_input(user: str) -> TowerInput:
    return TowerInput(InputKind.ERASURE, encode_erasure(hash_id(user)))


BORDER = TowerInput(InputKind.BORDER, b"")


def tower_inputs(n: int, seed: int = 0, *, n_items: int = 40, n_users: int = 9) -> list[TowerInput]:
    """n inputs of every kind: examples of skewed items, one in eight shed; catalogue items, tombstones; borders."""
    rng = np.random.default_rng(seed)
    consumed: dict[str, list[str]] = {}
    inputs = []
    for at in range(n):
        item_id = f"i{int(n_items * rng.random() ** 2)}"
        dice = rng.random()
        if dice < 0.1:
            tags = [f"t{t}" for t in rng.integers(0, 15, 2)]
            inputs.append(
                item_input(item_id, tags=tags, numbers={"year": int(rng.integers(1950, 2020))}, updated_ms=at)
            )
        elif dice < 0.12:
            inputs.append(item_input(item_id, available=False))
        elif dice < 0.14:
            inputs.append(BORDER)
        else:
            user = f"u{rng.integers(n_users)}"
            seen = consumed.setdefault(user, [])
            made = example(user, item_id, recent=seen[: -MODEL.recent_items - 1 : -1], consumed=seen, seed=at)
            inputs.append(example_input(made, shed=bool(rng.random() < 0.125)))
            seen.append(item_id)
    return inputs


def feed(stream: TowerStream, inputs: Iterable[TowerInput]) -> TowerStream:
    for entry in inputs:
        stream.accept(entry)
    return stream
