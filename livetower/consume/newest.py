"""The newest list of each user, of lists that come in the order of their partitions.

After a restore the job emits lists again, and some of them are older than what the topic already holds; this is the one
rule that tells. It knows no Kafka. In a store of your own, apply the same rule to `Recommendation.version`.
"""

from livetower.consume.recommendation import Recommendation


class NewestLists:
    """One list a user, about 4 KiB for ten items; a list that is older than the one held is left aside."""

    def __init__(self) -> None:
        self._lists: dict[str, Recommendation] = {}

    def __len__(self) -> int:
        return len(self._lists)

    def accept(self, recommendation: Recommendation) -> bool:
        """Keep the list, and say whether it is the user's newest; of equal versions the later one is."""
        held = self._lists.get(recommendation.user_id)
        if held is not None and held.version > recommendation.version:
            return False
        self._lists[recommendation.user_id] = recommendation
        return True

    def forget(self, user_id: str) -> None:
        """The user has no list any more."""
        self._lists.pop(user_id, None)

    def of(self, user_id: str) -> Recommendation | None:
        """The user's newest list."""
        return self._lists.get(user_id)
