"""Compile the numba kernels before the first event needs them: some seconds on a machine's first run, milliseconds from
its cache later.

Both functions run the real code once on a made-up world, so that every kernel is compiled for exactly the types it will
meet.
"""

from dataclasses import replace

import numpy as np
import orjson

from models.examples import Example, encode_example
from models.hashing import hash_id
from models.item_table import CLASSES, ItemTable, Popularity
from models.learning import ROWS_FOR_A_STEP
from models.recommender import advance
from models.records import EventType, Interaction
from models.settings import ModelSettings, TowerSettings
from models.snapshots import FULL, SnapshotRows, decode_snapshot, encode_snapshot, table_of

ITEMS = tuple(f"i{n}" for n in range(2 * ROWS_FOR_A_STEP))


def compile_user_side(model: ModelSettings) -> list[Example]:
    """Everything that `advance` calls. Returns what it learned, for `compile_tower`."""
    state, items, examples = None, _made_up_table(model.dimension), []
    model = replace(model, event_weights={"view": 1.0})  # whatever is set: a view must teach here
    for n, item in enumerate(ITEMS[:3]):
        result = advance(state, Interaction(f"e{n}", "u", item, EventType.VIEW, n), items, n, model)
        state = result.state
        examples += [result.example] if result.example is not None else []
    return examples


def compile_tower(model: ModelSettings, settings: TowerSettings) -> None:
    """Everything that the item tower calls."""
    # Not at the top: learn-and-recommend imports this module too and must stay without torch.
    from models.gate import EVERY, PublishGate
    from models.publishing import delta_since, full_snapshot, popularity_update
    from models.tower_stream import InputKind, TowerInput, TowerStream

    stream, gate = TowerStream(model, settings), PublishGate(1.0)
    for item in ITEMS:
        stream.accept(TowerInput(InputKind.ITEM, orjson.dumps({"item_id": item, "tags": ["made up"]})))
    gate.note_published(full_snapshot(stream.tower, 0, 0)[0], stream.tower.numbering)
    stream.watch = gate.watch
    for _ in range(EVERY):
        for example in compile_user_side(model):
            stream.accept(TowerInput(InputKind.EXAMPLE, encode_example(example)))
        stream.accept(TowerInput(InputKind.BORDER, b""))
    _, base = full_snapshot(stream.tower, 0, 0)
    delta_since(stream.tower, base, 0, 0)
    popularity_update(stream.tower, base, 0, 0)


def _made_up_table(dimension: int) -> ItemTable:
    n, n_half_lives = len(ITEMS), 1
    popularity = Popularity(
        counts=np.ones((n, n_half_lives)),
        cold=np.zeros(n, np.bool_),
        cold_counts=np.zeros(n_half_lives, np.float32),
        alpha=np.ones((CLASSES, n_half_lives), np.float32),
        gamma=np.ones(CLASSES, np.float32),
        floor=1.0,
    )
    rows = SnapshotRows(
        kind=FULL,
        epoch=0,
        trained_events=0,
        popularity=popularity,
        available=np.ones(n, np.bool_),
        hashes=np.array([hash_id(item) for item in ITEMS]),
        vectors=np.random.default_rng(0).normal(size=(n, dimension)).astype(np.float32),
        biases=np.zeros(n, np.float32),
        ids=ITEMS,
        titles=ITEMS,
        categories=ITEMS,
        content=np.zeros((n, 0), np.float16),
        neighbour_rows=np.zeros((n, 0), np.int32),
        neighbour_weights=np.zeros((n, 0), np.float32),
        beta=np.zeros((2, CLASSES), np.float32),
    )
    return table_of(decode_snapshot(encode_snapshot(rows)), sha256="", created_ms=0)
