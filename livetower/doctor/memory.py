"""What the item table and the tower take of a TaskManager's memory outside the JVM's heap: an upper estimate.

Python's memory is outside Flink's own account; taskmanager.memory.task.off-heap.size reserves it. A TaskManager ranks
or trains, so it needs the larger of the two.
"""

from models.item_table import CLASSES
from models.settings import ModelSettings, TowerSettings

PYTHON_MIB = 512
"""Python with numpy, numba and, in one TaskManager, torch, before the first item: with this much reserved the sandbox
runs (livetower/sandbox/flink.py)."""
MIB = 2**20
TEXT_BYTES = 300  # id, title and category as Python texts, and their places in tuples


def table_bytes_per_item(model: ModelSettings, tower: TowerSettings) -> int:
    """One item in an ItemTable with content vectors and neighbours (models/item_table.py has the arrays)."""
    index = 4 * 8  # two to four slots an item
    rows = 8 + 4 * model.dimension + 4 + 1 + 8
    beside = 4 * model.dimension + 8 * tower.neighbours
    scratch = 4 + 4 + 1 + 4 + 4
    popularity = 8 * len(tower.half_lives) + 1 + 4 * CLASSES
    return index + rows + beside + scratch + popularity + TEXT_BYTES


def file_bytes_per_item(model: ModelSettings, tower: TowerSettings) -> int:
    """One item in a snapshot file, which is in memory while a table is made of it, or it of a tower."""
    return 8 + 4 * model.dimension + 4 + 2 * model.dimension + 8 * tower.neighbours + 4 * len(tower.half_lives) + 100


def tower_bytes_per_item(model: ModelSettings, tower: TowerSettings) -> int:
    """One item in the item tower: vector, two moments of Adam, content, neighbours, counts, and twice the texts."""
    return 4 * model.dimension * 4 + 8 * tower.neighbours + 8 * len(tower.half_lives) + 2 * TEXT_BYTES


def off_heap_mib(items: int, model: ModelSettings, tower: TowerSettings) -> int:
    """What taskmanager.memory.task.off-heap.size must be: Python, and two tables during a swap with the file that the
    second is made of, or the tower with the file it writes.

    >>> off_heap_mib(0, ModelSettings(), TowerSettings())
    512
    """
    file = file_bytes_per_item(model, tower)
    ranking = 2 * table_bytes_per_item(model, tower) + file
    training = tower_bytes_per_item(model, tower) + file
    return PYTHON_MIB + -(-items * max(ranking, training) // MIB)
