"""What a declared profile gives a user to start from.

    p <- p + w / (1 + n) * sum_v v / sqrt(m)

v: the vectors of the m declared items and categories that the item table knows, a category's being the mean of its
available items' (a query of mean item vectors, as Rocchio 1971 and the cold start of many two-tower systems); n: the
user's positive events so far, so that what a user did outweighs what they said; w: `model.profile_weight`. The declared
items enter the recent and the consumed items too (`recommender.py`).
"""

import numpy as np

from models.hashing import hash_id
from models.item_table import ItemTable
from models.learning import Floats


def seeded_embedding(
    embedding: Floats,
    positives: int,
    declared: tuple[str, ...],
    categories: tuple[str, ...],
    items: ItemTable,
    weight: float,
) -> Floats:
    """The user embedding (k,) after a profile; the same array when the table knows nothing of what was declared."""
    rows = [row for item in declared if (row := items.row_of(hash_id(item))) >= 0]
    vectors = [items.vectors[row] for row in rows]
    vectors += [mean for name in dict.fromkeys(categories) if (mean := items.category_mean(name)) is not None]
    if not vectors:
        return embedding
    step = np.float32(weight / (1 + positives) / np.sqrt(len(vectors)))
    seeded: Floats = embedding + step * np.sum(vectors, axis=0, dtype=np.float32)
    return seeded
