"""`make fuzz-long`: so many seeded inputs to every parser and to both operators; prints a count by outcome.

The same seed gives the same inputs; a failure names the input and its target. Memory must not grow with the number of
inputs.
"""

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fuzz.learners import SETTINGS, Learner
from fuzz.one_user import flood
from fuzz.parsers import PARSERS
from fuzz.towers import Trainer
from models.hashing import hash_id

SHARES = {"interactions": 20, "items": 12, "commands": 5, "announcements": 6, "snapshot_files": 5, "own_bytes": 8}
LEARNER_SHARE, TOWER_SHARE = 12, 8
WARM = 0.3
"""Of the inputs: what lies in caches and rings is there by then."""
GROWTH_MIB = 64
"""What resident memory may grow by from then on."""


def targets(root: Path) -> dict[str, tuple[int, Callable[[random.Random], str]]]:
    """Name -> share of the inputs, and what takes one."""
    made = {name: (SHARES[name], parser) for name, parser in PARSERS.items()}
    made |= {f"learner, {name}": (LEARNER_SHARE, Learner(root, model).feed) for name, model in SETTINGS.items()}
    return made | {"tower": (TOWER_SHARE, Trainer(root / "tower").feed)}


def run(n_inputs: int, seed: int, root: Path, progress: Callable[[str], None]) -> Counter[tuple[str, str]]:
    """Counts by (target, outcome). Raises what a target raises, with the input's place noted."""
    made = targets(root)
    names, shares = list(made), [share for share, _ in made.values()]
    chosen = random.Random(seed)
    outcomes: Counter[tuple[str, str]] = Counter()
    warm_at, warm_mib = int(WARM * n_inputs), 0.0
    for n in range(n_inputs):
        (name,) = chosen.choices(names, shares)
        try:
            outcomes[name, made[name][1](random.Random(hash_id(f"{seed} {n}")))] += 1
        except BaseException as error:
            error.add_note(f"fuzz: input {n} of seed {seed}, target {name!r}")
            raise
        if n == warm_at:
            warm_mib = resident_mib()
        if n % 50_000 == 0:
            progress(f"{n} inputs, {resident_mib():.0f} MiB resident")
    grown = resident_mib() - warm_mib
    progress(f"{n_inputs} inputs; {grown:.0f} MiB more resident than after the first {warm_at}")
    assert grown <= GROWTH_MIB, f"memory grew by {grown:.0f} MiB over {n_inputs - warm_at} inputs"
    return outcomes


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.disable(logging.ERROR)  # what is refused is logged, too
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        outcomes = run(given.inputs, given.seed, Path(root), lambda line: print(line, flush=True))
    for (name, outcome), n in sorted(outcomes.items()):
        print(f"{name:32} {outcome:24} {n:>9}")
    print(flood(given.inputs))
    print(f"{outcomes.total()} inputs of seed {given.seed} in {time.perf_counter() - began:.0f} s: no failure")
    return 0


if __name__ == "__main__":
    sys.exit(main())
