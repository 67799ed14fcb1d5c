"""What a job has made of its events, read from the savepoint that it was stopped with."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from livetower.chaos.accepted import ExampleId
from livetower.chaos.errors import ChaosError
from livetower.inspect.reading import LearnedState, open_state
from models.examples import decode_example
from models.tower_stream import InputKind, decode_input
from models.user_state import UserState, decode_user_state


@dataclass(frozen=True, slots=True)
class StateAtEnd:
    """The states that guarantees are about."""

    users: Mapping[str, UserState]
    examples: Counter[ExampleId]
    """Every example that the tower has accepted."""
    offsets: Mapping[tuple[str, int], int]
    """Topic and partition, and the offset that the job reads next."""


def state_at_end(savepoint: str) -> StateAtEnd:
    """Read a savepoint. Raises ChaosError, InspectError."""
    with open_state(savepoint) as state:
        users = {stored.user_id: decode_user_state(stored.blob) for stored in state.users()}
        return StateAtEnd(users, accepted_examples(state), state.offsets())


def accepted_examples(state: LearnedState) -> Counter[ExampleId]:
    """Every example in the tower's log, which must reach back to its first input. Raises ChaosError."""
    examples: Counter[ExampleId] = Counter()
    numbers = set()
    for _, blob in state.log():
        number, entry = decode_input(blob)
        numbers.add(number)
        if entry.kind is InputKind.EXAMPLE:
            example = decode_example(entry.payload)
            examples[example.user, example.positive, example.kafka_ms] += 1
    if numbers != set(range(1, len(numbers) + 1)):
        raise ChaosError(
            f"the tower's log: inputs 1 to {len(numbers)} were needed; got {min(numbers)} to {max(numbers)}: fewer "
            "events a leg (--events), or inputs are missing"
        )
    return examples
