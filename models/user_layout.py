"""A user's blob as the kernels read and write it: views of its parts, at the offsets that user_state.py lays out."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels import part
from models.learning import Floats, Ints
from models.optimisers import ADAM

Bytes = NDArray[np.uint8]

HEADER_BYTES: Final = 80

# Positions in the header, seen as an array of one type.
K, CONSUMED, EVENT_IDS = 2, 4, 5  # of uint16
RECENT, LISTED, OPTIMIZER = 6, 7, 76  # of uint8
SINCE, SEQ, NEWEST = 2, 3, 4  # of int64
ACCUMULATOR, RATING_SUM = 5, 6  # of float64
POSITIVES, RATING_COUNT, LATE, NO_TABLE, FORGOTTEN, STEPS = 3, 14, 15, 16, 17, 18  # of uint32


class Parts(NamedTuple):
    """The parts of one blob, views of its memory."""

    bytes_: Bytes  # (80,) the header, four times
    shorts: NDArray[np.uint16]
    words: NDArray[np.uint32]
    longs: Ints
    doubles: NDArray[np.float64]
    recent: Ints  # (R,)
    recent_ms: Ints  # (R,)
    consumed: Ints  # (C,)
    event_ids: Ints  # (D,)
    last_list: Ints  # (T,)
    embedding: Floats  # (k,)
    moments: Floats  # (2k,) under Adam, else (0,)
    consumed_day: NDArray[np.uint32]  # (C,)


@part
def n_moments(k: int, optimizer: int) -> int:
    """Length of Adam's moments."""
    return 2 * k if optimizer == ADAM else 0


@part
def parts_of(blob: Bytes) -> Parts:
    """The parts of a blob whose header and length were checked."""
    shorts = blob[:HEADER_BYTES].view(np.uint16)
    k, n_consumed, n_ids = int(shorts[K]), int(shorts[CONSUMED]), int(shorts[EVENT_IDS])
    n_recent, n_listed = int(blob[RECENT]), int(blob[LISTED])
    moments = n_moments(k, int(blob[OPTIMIZER]))
    recent_ms = HEADER_BYTES + 8 * n_recent
    consumed = recent_ms + 8 * n_recent
    event_ids = consumed + 8 * n_consumed
    last_list = event_ids + 8 * n_ids
    embedding = last_list + 8 * n_listed
    moments_at = embedding + 4 * k
    consumed_day = moments_at + 4 * moments
    return Parts(
        blob[:HEADER_BYTES],
        shorts,
        blob[:HEADER_BYTES].view(np.uint32),
        blob[:HEADER_BYTES].view(np.int64),
        blob[:HEADER_BYTES].view(np.float64),
        blob[HEADER_BYTES:recent_ms].view(np.int64),
        blob[recent_ms:consumed].view(np.int64),
        blob[consumed:event_ids].view(np.int64),
        blob[event_ids:last_list].view(np.int64),
        blob[last_list:embedding].view(np.int64),
        blob[embedding:moments_at].view(np.float32),
        blob[moments_at:consumed_day].view(np.float32),
        blob[consumed_day : consumed_day + 4 * n_consumed].view(np.uint32),
    )


@part
def new_blob(
    of: Bytes, k: int, optimizer: int, n_recent: int, n_consumed: int, n_event_ids: int, n_listed: int
) -> Bytes:
    """A blob with the header of another and these lengths; its parts are yet to be filled."""
    size = HEADER_BYTES + 16 * n_recent + 12 * n_consumed + 8 * (n_event_ids + n_listed)
    size += 4 * (k + n_moments(k, optimizer))
    blob = np.empty(size, np.uint8)
    blob[:HEADER_BYTES] = of[:HEADER_BYTES]
    blob[RECENT], blob[LISTED], blob[OPTIMIZER] = n_recent, n_listed, optimizer
    shorts = blob[:HEADER_BYTES].view(np.uint16)
    shorts[CONSUMED], shorts[EVENT_IDS] = n_consumed, n_event_ids
    return blob
