"""The latest examples, from which the item tower replays: a ring of arrays in input order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.examples import Example
from models.item_tower import Batch
from models.learning import Floats, Ints


class ReplayWindow:
    """The examples among the last `size` inputs, each under the index it got when it came (0, 1, 2 …).

    A replayed example uses the consumed items of its user's latest example in the window: with its own old ones, items
    the user has consumed since would count as negatives (NDCG@10 on MovieLens-100k .1140 against .1153).
    """

    def __init__(self, size: int, dimension: int, n_recent: int) -> None:
        self.size = size
        self.first = 0  # index of the oldest example in the window
        self.end = 0  # index the next example gets
        self._number = np.zeros(size, np.int64)  # of its input
        self._user = np.zeros(size, np.int64)
        self._latest: dict[int, tuple[int, NDArray[np.uint16]]] = {}  # user -> its latest example: index and consumed
        self._embedding = np.zeros((size, dimension), np.float32)
        self._recent_weights = np.zeros((size, n_recent), np.float32)
        self._recent = np.zeros((size, n_recent), np.int64)
        self._activity = np.zeros(size, np.int64)
        self._weight = np.zeros(size, np.float32)
        self._target = np.zeros(size, np.float32)
        self._rated = np.zeros(size, np.bool_)
        self._positive = np.zeros(size, np.int64)

    def append(self, example: Example, number: int) -> None:
        """Take in the example of input `number`, and let go of those of inputs `number - size` and before."""
        self.forget(number)
        at = self.end % self.size
        n = min(len(example.recent), self._recent.shape[1])
        self._number[at] = number
        self._user[at] = example.user
        self._embedding[at] = example.embedding
        self._recent_weights[at, :n], self._recent_weights[at, n:] = example.recent_weights[:n], 0
        self._recent[at, :n], self._recent[at, n:] = example.recent[:n], 0
        self._activity[at] = example.activity
        self._weight[at] = example.weight
        self._target[at] = example.target
        self._rated[at] = example.rated
        self._positive[at] = example.positive
        self._latest[example.user] = (self.end, example.consumed)
        self.end += 1

    def forget(self, number: int) -> None:
        """Let go of the examples of inputs `number - size` and before."""
        while self.first < self.end and self._number[self.first % self.size] <= number - self.size:
            user = int(self._user[self.first % self.size])
            if self._latest[user][0] == self.first:
                del self._latest[user]
            self.first += 1

    def erase(self, user: int, before: int) -> int:
        """Take out a user's examples: later ones move up by as many places. Returns where index `before` has moved to.

        It is what a window is that never held them, so one that is refilled from the log without them is the same.
        """
        indices = np.arange(self.first, self.end)
        kept = indices[self._user[indices % self.size] != user]
        here = self.first + np.arange(len(kept))
        for array in self._arrays():
            array[here % self.size] = array[kept % self.size]
            array[np.arange(self.first + len(kept), self.end) % self.size] = 0
        self._latest.pop(user, None)
        moved = dict(zip(kept.tolist(), here.tolist(), strict=True))
        self._latest = {other: (moved[at], consumed) for other, (at, consumed) in self._latest.items()}
        self.end = self.first + len(kept)
        return self.first + int(np.searchsorted(kept, before))

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        """Everything that is kept of an example but its consumed items."""
        whose = (self._number, self._user, self._activity)
        what = (self._weight, self._target, self._rated, self._positive)
        return *whose, *what, self._embedding, self._recent_weights, self._recent

    def positives(self, indices: Ints) -> Ints:
        """Hashes of the items of those of these examples that are no explicit negatives."""
        at = indices % self.size
        items: Ints = self._positive[at[self._weight[at] > 0]]
        return items

    def transitions(self) -> tuple[Ints, Ints, Floats]:
        """Of all positive examples in the window, oldest first: the items (E,), their recent items (E,L), weights."""
        at = np.arange(self.first, self.end) % self.size
        at = at[self._weight[at] > 0]
        return self._positive[at], self._recent[at], self._recent_weights[at]

    def batch(self, new: Ints, old: Ints) -> Batch:
        """The examples of these indices as one batch, the new ones first."""
        indices = np.concatenate([new, old])
        at: Ints = indices % self.size
        consumed = [self._latest[user][1] for user in self._user[at].tolist()]
        return Batch(
            n_new=len(new),
            activity=self._activity[at],
            positive=self._positive[at],
            weight=self._weight[at],
            target=self._target[at],
            rated=self._rated[at],
            embedding=self._embedding[at],
            recent_weights=self._recent_weights[at],
            recent=self._recent[at],
            consumed=np.concatenate(consumed),
            consumed_end=np.cumsum([len(items) for items in consumed], dtype=np.int64),
        )
