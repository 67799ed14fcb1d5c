"""What a snapshot's tensors must be like before kernels read them: kernels look neither at types nor at lengths.

A file's digest says that its bytes are those announced, not that they are a table. Everything that ranks with them
relies on what is asked here, so a snapshot that fails is left aside and the table in use ranks on. It does not know
what the tensors mean: `snapshots.py` does.
"""

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import numpy as np

from models.item_table import CLASSES
from models.shown import shown
from models.tensor_bytes import InvalidTensors, Tensors

KINDS: Final = ("full", "delta", "popularity")
NUMBER_MAX: Final = 1e9
"""No vector, bias or weight lies beyond it, either way: products of two stay far within a float32."""
COUNT_MAX: Final = 2.0**63

# Lengths that several tensors share: I items, W of them whole, F half-lives, k, c, N. Text ends are checked by
# themselves.
Layout = Mapping[str, tuple[str, tuple[int | str, ...]]]

_LAYOUT: Final[Layout] = {
    "count": ("f8", ("I", "F")),
    "available": ("u1", ("I",)),
    "cold": ("u1", ("I",)),
    "cold_counts": ("f4", ("F",)),
    "alpha": ("f4", (CLASSES, "F")),
    "gamma": ("f4", (CLASSES,)),
    "beta": ("f4", (2, CLASSES)),
    "hash": ("i8", ("W",)),
    "vector": ("f4", ("W", "k")),
    "bias": ("f4", ("W",)),
    "content": ("f2", ("W", "c")),
    "neighbour_row": ("i4", ("W", "N")),
    "neighbour_weight": ("f4", ("W", "N")),
    "id_end": ("i8", ("W",)),
    "title_end": ("i8", ("W",)),
    "category_end": ("i8", ("W",)),
}
_LAYOUT_1: Final[Layout] = {"popularity": ("f4", ("I", "F")), "hash": ("i8", ("W",))}
_POSITIVE_OR_0: Final = ("count", "cold_counts", "neighbour_weight")
_BOUNDED: Final = ("alpha", "gamma", "beta", "vector", "bias", "content", "neighbour_weight")


def require_version_1(tensors: Tensors) -> None:
    """What must hold before a snapshot of version 1 is completed. Raises InvalidTensors."""
    lengths = _require_layout(tensors, _LAYOUT_1)
    if "decay" in tensors:
        _require_layout(tensors, {"decay": ("f4", (lengths["F"],))})
        if not (tensors["decay"] > 0).all():
            _refuse("decay must be positive")


def require_facts(facts: dict[str, Any]) -> None:
    """Raises InvalidTensors unless kind, epoch, trained_events and floor are what they must be."""
    if facts.get("kind") not in KINDS:
        _refuse(f"kind must be one of {', '.join(KINDS)}; got {shown(facts.get('kind'))}")
    for name in ("epoch", "trained_events"):
        if type(facts.get(name)) is not int or not 0 <= facts[name] < 2**63:
            _refuse(f"{name} must be a whole number of 0 or more; got {shown(facts.get(name))}")
    if type(facts.get("floor")) is not float or not 0 < facts["floor"] <= NUMBER_MAX:
        _refuse(f"floor must be a number in (0, {NUMBER_MAX:g}]; got {shown(facts.get('floor'))}")


def require_tensors(kind: str, tensors: Tensors) -> None:
    """Raises InvalidTensors unless the tensors of a snapshot of this kind fit each other and their numbers are ones
    that can be ranked with.
    """
    lengths = _require_layout(tensors, _LAYOUT)
    n_items, n_whole = lengths["I"], lengths["W"]
    if (
        "unit" not in tensors
        or tensors["unit"].dtype != np.float64
        or tensors["unit"].shape
        not in (
            (lengths["F"],),
            (1,),
        )
    ):
        _refuse(f"unit must be float64 of the shape ({lengths['F']},)")
    if lengths["F"] < 1 or lengths["k"] < 1:
        _refuse("at least one half-life and one dimension are needed")
    for name in ("id", "title", "category"):
        _require_texts(name, tensors)
    n_new = _require_rows(kind, tensors, n_items)
    needed = n_new if kind == "popularity" else n_items
    if n_whole != needed:
        _refuse(f"{needed} whole rows were needed; got {n_whole}")
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            _refuse(f"{name} holds numbers that are not finite")
    if not (tensors["unit"] > 0).all():
        _refuse("unit holds numbers that are not positive")
    for name in _POSITIVE_OR_0:
        if (tensors[name] < 0).any():
            _refuse(f"{name} holds numbers below 0")
    with np.errstate(over="ignore"):
        if (tensors["count"] / tensors["unit"] > COUNT_MAX).any():
            _refuse(f"count holds more than {COUNT_MAX:g} events")
    for name in _BOUNDED:
        if tensors[name].size and float(np.abs(tensors[name]).max()) > NUMBER_MAX:
            _refuse(f"{name} holds numbers beyond {NUMBER_MAX:g}")


def _require_layout(tensors: Tensors, layout: Layout) -> dict[str, int]:
    """The lengths by their letters."""
    lengths: dict[str, int] = {}
    for name, (dtype, shape) in layout.items():
        tensor = tensors.get(name)
        if tensor is None:
            _refuse(f"{name} is missing")
        wanted = tuple(lengths.get(n, n) if isinstance(n, str) else n for n in shape)
        fits = tensor.dtype == np.dtype(f"<{dtype}") and tensor.ndim == len(shape)
        if not fits or any(isinstance(n, int) and n != came for n, came in zip(wanted, tensor.shape, strict=True)):
            shape_text = ", ".join(map(str, wanted))
            _refuse(f"{name} must be {np.dtype(dtype)} of the shape ({shape_text}); got {tensor.dtype} {tensor.shape}")
        lengths |= {n: came for n, came in zip(wanted, tensor.shape, strict=True) if isinstance(n, str)}
    return lengths


def _require_texts(name: str, tensors: Tensors) -> None:
    packed, ends = tensors.get(f"{name}_bytes"), tensors[f"{name}_end"]
    if packed is None or packed.dtype != np.uint8 or packed.ndim != 1:
        _refuse(f"{name}_bytes must be bytes in one row")
    borders = np.concatenate([[0], ends, [len(packed)]])
    if (np.diff(borders) < 0).any() or borders[-2] != len(packed):
        _refuse(f"{name}_end must rise from 0 to the {len(packed)} bytes there are")


def _require_rows(kind: str, tensors: Tensors, n_items: int) -> int:
    """How many of the rows are new."""
    rows = tensors.get("row")
    if (rows is None) != (kind == "full"):
        _refuse(f"a snapshot of the kind {kind} must have {'no ' if kind == 'full' else ''}row")
    if rows is None:
        return 0
    if rows.dtype != np.int64 or rows.shape != (n_items,):
        _refuse(f"row must be int64 of the shape ({n_items},); got {rows.dtype} {rows.shape}")
    n_known = int((rows >= 0).sum())
    known = rows[:n_known]
    if (known < 0).any() or (rows[n_known:] != -1).any() or len(np.unique(known)) != n_known:
        _refuse("row must name rows once each, and then be -1 for the new ones")
    return n_items - n_known


def _refuse(detail: str) -> NoReturn:
    raise InvalidTensors(detail)
