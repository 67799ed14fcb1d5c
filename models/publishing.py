"""At which numbers of trained examples a full snapshot is due; operators/publisher.py adds those the clock makes."""


def next_full(trained: int, every: int) -> int:
    """The first number of trained examples beyond `trained` at which a full snapshot is due.

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
