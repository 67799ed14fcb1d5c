"""Made-up streams whose right answer is known, for questions that a real stream cannot answer.

All draw from a generator passed in, one event every ten seconds, so the same generator gives the same stream.
"""

import numpy as np

from models.records import EventType, Interaction

START_MS = 1_760_000_000_000
APART_MS = 10_000


def bursty_stream(
    rng: np.random.Generator,
    n_events: int,
    *,
    n_users: int = 400,
    burst_events: int = 600,
    hot: int = 12,
    n_steady: int = 300,
    hot_share: float = 0.7,
) -> list[Interaction]:
    """Items that are popular for `burst_events` events each and then never again.

    `hot` of them are popular at a time, each burst begins in turn; `hot_share` of the events go to them, the rest to
    `n_steady` items that are always there, some of them more popular than others.
    """
    shares = 1.0 / np.arange(1, n_steady + 1)
    shares /= shares.sum()
    had: list[set[str]] = [set() for _ in range(n_users)]
    pairs: list[tuple[int, str]] = []
    while len(pairs) < n_events:
        user = int(rng.integers(n_users))
        newest = len(pairs) * hot // burst_events
        if rng.random() < hot_share:
            item = f"hot {newest - int(rng.integers(hot))}"
        else:
            item = f"steady {rng.choice(n_steady, p=shares)}"
        if item not in had[user]:
            had[user].add(item)
            pairs.append((user, item))
    return _interactions(pairs)


def taste_shift_stream(
    rng: np.random.Generator,
    *,
    n_users: int = 60,
    n_tastes: int = 4,
    n_each: int = 150,
    before: int = 60,
    after: int = 60,
) -> tuple[list[Interaction], list[int]]:
    """Users with one taste for `before` events and another for `after`, each changing at a time of their own.

    The items of a taste are equally popular. Returns the stream and, for each event, how many events its user has made
    since the change: -1 for the last one before it, 0 for the first after it.
    """
    first = rng.integers(n_tastes, size=n_users)
    second = (first + rng.integers(1, n_tastes, size=n_users)) % n_tastes
    orders = [
        [f"{taste}-{i}" for taste, n in ((first[u], before), (second[u], after)) for i in rng.permutation(n_each)[:n]]
        for u in range(n_users)
    ]
    turns = _turns(rng, n_users, before + after)
    at = [0] * n_users
    pairs, since = [], []
    for user in turns:
        pairs.append((user, orders[user][at[user]]))
        since.append(at[user] - before)
        at[user] += 1
    return _interactions(pairs), since


def steady_stream(
    rng: np.random.Generator, n_events: int, *, n_active: int = 60, life: int = 60, n_tastes: int = 4, n_each: int = 100
) -> list[Interaction]:
    """A world that never changes: `n_active` users at a time, each leaving after `life` events for a new one, each with
    a taste for ever, in which some items are more popular than others. No moment is harder than another.
    """
    shares = 1.0 / np.arange(1, n_each + 1) ** 0.5
    shares /= shares.sum()
    users = list(range(n_active))
    left = rng.integers(1, life + 1, size=n_active).tolist()
    taste = rng.integers(n_tastes, size=n_active).tolist()
    order = [rng.choice(n_each, life, replace=False, p=shares).tolist() for _ in users]
    pairs: list[tuple[int, str]] = []
    n_users = n_active
    while len(pairs) < n_events:
        seat = int(rng.integers(n_active))
        left[seat] -= 1
        pairs.append((users[seat], f"{taste[seat]}-{order[seat][left[seat]]}"))
        if left[seat] == 0:
            users[seat], left[seat], taste[seat] = n_users, life, int(rng.integers(n_tastes))
            order[seat] = rng.choice(n_each, life, replace=False, p=shares)[::-1].tolist()
            n_users += 1
    return _interactions(pairs)


def _turns(rng: np.random.Generator, n_users: int, n_each: int) -> list[int]:
    """Who acts when: users begin one after the other, so that their halves do not fall together."""
    starts = np.sort(rng.random(n_users))
    times = (starts[:, None] + np.sort(rng.random((n_users, n_each)), axis=1)).ravel()
    owners = np.repeat(np.arange(n_users), n_each)
    turns: list[int] = owners[np.argsort(times, kind="stable")].tolist()
    return turns


def _interactions(pairs: list[tuple[int, str]]) -> list[Interaction]:
    return [
        Interaction(str(n), f"u{user}", item, EventType.VIEW, START_MS + n * APART_MS)
        for n, (user, item) in enumerate(pairs)
    ]
