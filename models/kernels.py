"""The two kinds of numba kernels: those that Python calls, and the parts that they are made of.

`@kernel` is called from Python and cached on disk; `@part` is called by kernels alone and compiled into each of them.
The reason is the last bit of a float. Called and not inlined, a part would exist twice: compiled by itself and compiled
once more within its caller, and the two sum in different orders. Which one runs would depend on whether this process
compiled the caller or loaded it from the cache, so two TaskManagers would learn different numbers from equal events.

numba's cache looks at a kernel's own file only, and a part lies in another: after an upgrade the old sums would go on.
So the cache has a directory for each state of all files that hold kernels or parts.

Neither uses `fastmath=True`, which would compile tests for NaN away; SAFE_FASTMATH lets sums vectorise and keeps
comparisons and `np.isnan`, but not `np.isfinite` of a sum, which numba writes as x - x == 0.
"""

from hashlib import blake2b
from pathlib import Path
from typing import Final

from numba import njit
from numba.core import config

HERE: Final = Path(__file__)


def sources_digest(folder: Path) -> str:
    """A name for what the files of kernels and parts in a folder say."""
    texts = {file.name: file.read_bytes() for file in sorted(folder.glob("*.py"))}
    kernels = [name.encode() + text for name, text in texts.items() if b"models.kernels" in text or name == HERE.name]
    return blake2b(b"".join(kernels), digest_size=8).hexdigest()


if config.CACHE_DIR:  # NUMBA_CACHE_DIR, which every cluster of ours sets
    config.CACHE_DIR = str(Path(config.CACHE_DIR) / sources_digest(HERE.parent))

SAFE_FASTMATH: Final = {"reassoc", "contract", "nsz", "arcp"}

kernel = njit(cache=True, fastmath=SAFE_FASTMATH)
part = njit(forceinline=True, fastmath=SAFE_FASTMATH)
