"""Names to 64-bit numbers, and draws from a counter: the two hashes of Livetower.

Both are the same on every machine and in every process, which Python's own `hash()` is not.
"""

from hashlib import blake2b

import numpy as np
from numba import int64, uint64
from numpy.typing import NDArray

from models.kernels import kernel, part


def hash_id(text: str) -> int:
    """The signed 64-bit number that stands for an item, user or event id in states, examples and tables.

    blake2b with an 8-byte digest, read little-endian: two of a million ids collide with probability 3e-8.

    >>> hash_id("i1")
    778860755400141486
    """
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


@part
def mix(x: int) -> int:
    """splitmix64's finaliser (Steele, Lea, Flood 2014, Stafford's variant 13): a bijection of 64 bits that looks
    random.
    """
    x = uint64(x)
    x ^= x >> uint64(30)
    x *= uint64(0xBF58476D1CE4E5B9)
    x ^= x >> uint64(27)
    x *= uint64(0x94D049BB133111EB)
    mixed: int = x ^ (x >> uint64(31))
    return mixed


@part
def draw(stream: int, counter: int, n: int) -> int:
    """The `counter`-th draw of `stream` (both 64-bit numbers): an integer in [0, n), n < 2^32, equal for equal
    arguments.

    Multiply-shift on the upper 32 bits (Lemire 2019 without rejection): its bias, n / 2^32, is far below what sampling
    notices.
    """
    bits = mix(uint64(stream) + uint64(counter) * uint64(0x9E3779B97F4A7C15))
    drawn: int = int64(((bits >> uint64(32)) * uint64(n)) >> uint64(32))
    return drawn


@kernel
def draws_before(stream: int, n_draws: int, n: int) -> NDArray[np.int64]:
    """The draws of the counters -1, -2 … (n_draws,): of a stream whose counters from 0 on are taken."""
    drawn = np.empty(n_draws, np.int64)
    for counter in range(n_draws):
        drawn[counter] = draw(stream, -1 - counter, n)
    return drawn


@part
def mixed_stream(seed: int, a: int, b: int) -> int:
    """One stream number (int64) out of a seed and two more numbers, such as a user and a sequence number."""
    stream: int = int64(mix(mix(mix(uint64(seed) + uint64(0x9E3779B97F4A7C15)) ^ uint64(a)) + uint64(b)))
    return stream


@kernel
def stream_of(seed: int, a: int, b: int) -> int:
    """`mixed_stream` for Python."""
    stream: int = mixed_stream(seed, a, b)
    return stream
