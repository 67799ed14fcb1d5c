"""In which partition a key is: what Kafka's default partitioner does, which the job's sink leaves the choice to.

A key's partition is the positive 31 bits of MurmurHash2 of its bytes, modulo the number of partitions
(org.apache.kafka.common.utils.Utils.murmur2). librdkafka calls it `murmur2_random`; its own default is another one.
"""

MASK = 0xFFFF_FFFF
FACTOR = 0x5BD1_E995
SEED = 0x9747_B28C


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a record with this key.

    >>> [partition_of(key, 4) for key in (b"u1", b"ada")]
    [0, 1]
    """
    return (murmur2(key) & 0x7FFF_FFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2 of 32 bits with Kafka's seed, unsigned."""
    whole = len(data) & ~3
    h = SEED ^ len(data)
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * FACTOR & MASK
        k = (k ^ k >> 24) * FACTOR & MASK
        h = h * FACTOR & MASK ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * FACTOR & MASK
    h = (h ^ h >> 13) * FACTOR & MASK
    return h ^ h >> 15
