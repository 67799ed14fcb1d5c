"""From history to an item tower: the job's own code, one pass, nothing kept of the users."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from livetower.evaluate.events import MOVIELENS, by_time, movielens_events, read_events
from livetower.evaluate.run import WARM_UP, part
from models.learning import Ints
from models.prequential import NOT_SCORED, LocalJob, prequential_ranks
from models.records import Interaction, Item
from models.settings import ModelSettings, TowerSettings
from models.tower_artefact import encode_tower
from models.tower_stream import InputKind, TowerInput


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training. `ndcg_at_10` is that of first meetings of user and item, each before it was learned."""

    items: int
    examples: int
    parameters: int
    ndcg_at_10: float


def train_tower(
    events: Sequence[Interaction],
    items: Sequence[Item],
    model: ModelSettings,
    tower: TowerSettings,
    *,
    half: bool,
    progress: Callable[[int], None],
) -> tuple[Trained, bytes]:
    """Run the job in one thread over events that are sorted by time; figures, and the bytes of the tower."""
    job = LocalJob(model, tower, items)
    ranks = prequential_ranks(job, events, progress)
    job.stream.accept(TowerInput(InputKind.BORDER, b""))
    job.stream.tower.fit_content()  # on a short history none was due yet
    quality = part(first_meetings(events, ranks), WARM_UP, 1.0)
    trained = Trained(
        items=job.stream.tower.n_items,
        examples=job.stream.trained,
        parameters=job.stream.tower.n_parameters,
        ndcg_at_10=quality.ndcg_at_10,
    )
    return trained, encode_tower(job.stream, half=half)


def first_meetings(events: Sequence[Interaction], ranks: Ints) -> Ints:
    """The ranks (n,), with NOT_SCORED where the user has met the item before: no list would hold it again."""
    met: set[tuple[str, str]] = set()
    scored = ranks.copy()
    for at, event in enumerate(events):
        pair = (event.user_id, event.item_id)
        if pair in met:
            scored[at] = NOT_SCORED
        met.add(pair)
    return scored


# ---- files ---------------------------------------------------------------------------------------


def load_history(source: str) -> list[Interaction]:
    """Every event of `movielens-100k` or of a file, by time. Raises EvaluationError."""
    return movielens_events() if source == MOVIELENS else by_time(read_events(Path(source)))


def write_tower(file: Path, blob: bytes) -> None:
    """Whole or not at all. Raises OSError."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(blob)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
