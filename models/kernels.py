"""The two kinds of numba kernels: those that Python calls, and the parts that they are made of.

`@kernel` is called from Python and cached on disk; `@part` is called by kernels alone and compiled into each of them.
The reason is the last bit of a float. Called and not inlined, a part would exist twice: compiled by itself and compiled
once more within its caller, and the two sum in different orders. Which one runs would depend on whether this process
compiled the caller or loaded it from the cache, so two TaskManagers would learn different numbers from equal events.

Neither uses `fastmath=True`, which would compile tests for NaN away; SAFE_FASTMATH lets sums vectorise and keeps
comparisons and `np.isnan`, but not `np.isfinite` of a sum, which numba writes as x - x == 0.
"""

from typing import Final

from numba import njit

SAFE_FASTMATH: Final = {"reassoc", "contract", "nsz", "arcp"}

kernel = njit(cache=True, fastmath=SAFE_FASTMATH)
part = njit(forceinline=True, fastmath=SAFE_FASTMATH)
