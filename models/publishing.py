"""At which numbers of trained examples vectors are to be published and the content tower is to be fitted anew.

operators/publisher.py adds what the clock makes due, and decides whether vectors go out in full or as a delta.
"""


def next_full(trained: int, every: int) -> int:
    """The first number of trained examples beyond `trained` at which a snapshot of vectors is due.

    The points are `every` apart, and closer while the stream is young: the one after p is p + 50 + p // 10 then. They
    do not depend on when snapshots were published, so that a restored tower publishes what an undisturbed one does.

    >>> [next_full(n, 2_000) for n in (0, 49, 50, 104, 105, 50_000)]
    [50, 50, 105, 105, 165, 51932]
    """
    point = 0
    while point <= trained:
        step = min(every, 50 + point // 10)
        point += step if step < every else every * ((trained - point) // every + 1)
    return point


def next_fit(trained: int, every: int) -> int:
    """The first number of trained examples beyond `trained` at which the content tower is fitted anew: the point after
    p is p + max(every, p // 20), since what it learns from changes ever more slowly.

    >>> [next_fit(n, 2_000) for n in (0, 2_000, 40_000, 100_000)]
    [2000, 4000, 42000, 101068]
    """
    point = 0
    while point <= trained:
        point += max(every, point // 20)
    return point
