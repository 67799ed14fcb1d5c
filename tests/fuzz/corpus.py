"""Real records of every topic, the ones that the mutations begin with."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
from made_up import (
    ITEMS,
    MODEL,
    announcement,
    bad_interactions,
    bad_items,
    delta,
    example,
    interaction,
    item,
    popularity_update,
    snapshot,
)

from models.snapshots import DELTA, POPULARITY, Announcement, digest, encode_announcement
from models.tensor_bytes import decode_tensors, encode_tensors
from models.tower_stream import InputKind, TowerInput, encode_input
from models.user_state import encode_user_state, new_user_state

USERS = ("u1", "u2", "☃", "a:b", "x" * 512)


def _interactions() -> list[bytes]:
    made = []
    for n, kind in enumerate(("view", "click", "like", "purchase", "rating", "dislike", "skip", "request", "profile")):
        for user in USERS:
            fields: dict[str, Any] = {"event_type": kind}
            if kind == "rating":
                fields["value"] = 4.5
            if kind == "profile":
                fields |= {"items": ["i1", "i2"], "categories": ["i3"]}
            if kind == "like":
                fields |= {"exclude": ["i4"], "strategy": "content", "rec_id": f"{user}:e0", "position": 0}
            made.append(interaction(f"e{n}", user, f"i{n}", **fields))
    return made


INTERACTIONS = [*_interactions(), *(value for _, value, _ in bad_interactions().values() if value)]
CATALOGUE = [
    *(item(name, title=name, tags=["a", name[-1]], numbers={"year": 1990 + n}) for n, name in enumerate(ITEMS)),
    item("i1", text="a word and another", category="film", updated_ms=5, vectors={"image": [0.5, -1, 3e38]}),
    item("i2", available=False),
    *(value for _, value, _ in bad_items().values() if value),
]
COMMANDS = [
    b'{"command": "full_refresh", "command_id": "c1"}',
    b'{"command": "rollback", "command_id": "c2", "to": "0-18000"}',
    b'{"command": "rollback", "command_id": "c3"}',
]
SNAPSHOTS = [snapshot(0), snapshot(10, seed=1), delta(20, 3, 0.5), popularity_update(30, 4, 7.0)]
ANNOUNCEMENTS = [
    encode_announcement(announcement(SNAPSHOTS[0], 0, file="full-0-000000000000-00.safetensors")),
    encode_announcement(announcement(SNAPSHOTS[1], 10)),
    encode_announcement(announcement(SNAPSHOTS[2], 20, kind=DELTA, base=SNAPSHOTS[0])),
    encode_announcement(announcement(SNAPSHOTS[3], 30, kind=POPULARITY, base=SNAPSHOTS[0])),
]
STATES = [encode_user_state(new_user_state(MODEL.dimension, 5))]
EXAMPLES = [example(n, ITEMS[n]) for n in range(8)]
INPUTS = [encode_input(n, TowerInput(InputKind.EXAMPLE, blob)) for n, blob in enumerate(EXAMPLES)]


def hostile_snapshot(rng: random.Random) -> bytes:
    """A snapshot whose tensors or facts are other than they should be; its digest will be right all the same."""
    facts, tensors = decode_tensors("livetower-item-snapshot-2", rng.choice(SNAPSHOTS))
    form = facts.pop("format")
    for _ in range(rng.choice((1, 1, 2))):
        if rng.random() < 0.2:
            name = rng.choice([*facts, "more"])
            facts[name] = rng.choice((None, -1, 2**62, "x", [], {}, 0.0, -1.0, "full", "delta", "popularity", 1e300))
            continue
        name = rng.choice(list(tensors))
        array = tensors[name]
        match rng.randrange(7):
            case 0:
                del tensors[name]
                if not tensors:
                    tensors["x"] = np.zeros(1)
            case 1:
                tensors[name] = array[: rng.randrange(len(array) + 1)]
            case 2:
                tensors[name] = np.concatenate([array, array])
            case 3:
                tensors[name] = array.astype(rng.choice((np.float32, np.float64, np.int64, np.uint8, np.int32)))
            case 4:
                tensors[name] = array.reshape(-1) if array.ndim > 1 else array.reshape(-1, 1)
            case 5:
                tensors[name] = array.T.copy() if array.ndim > 1 else array[::-1].copy()
            case _:
                changed = array.copy().reshape(-1)
                if len(changed):
                    wild = (np.nan, np.inf, -np.inf, -1, 1e30, 3e38, 1e9, -1e9, 0, 255, 65_504)
                    with np.errstate(all="ignore"):
                        changed[rng.randrange(len(changed))] = np.array(rng.choice(wild)).astype(array.dtype)
                tensors[name] = changed.reshape(array.shape)
    return encode_tensors(form, facts, tensors)


def hostile_announcement(rng: random.Random) -> bytes:
    """An announcement of such a snapshot, inline."""
    blob = hostile_snapshot(rng)
    kind = rng.choice(("full", DELTA, POPULARITY))
    made: Announcement = announcement(
        blob, rng.randrange(100), kind=kind, base=SNAPSHOTS[0] if kind != "full" else None
    )
    return encode_announcement(replace(made, sha256=digest(blob)))
