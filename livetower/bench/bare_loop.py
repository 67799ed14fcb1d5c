"""The job's work without the job: parse, decode, advance, encode, in one thread of a process that does nothing else.

    python -m livetower.bench.bare_loop TASK.json        (livetower bench starts it)

Every event takes the steps of operators/learn_and_recommend.py, with a dict in place of Flink's state; the item table
stays the one of the task. Prints the events per second of each round as a JSON array.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from livetower.bench.errors import BenchError
from livetower.evaluate.settings import evaluation_settings
from models.compile_kernels import compile_user_side
from models.item_table import ItemTable
from models.recommender import advance
from models.records import Clock, check_key, encode_recommendation, parse_interaction, user_key_of
from models.settings import ModelSettings
from operators.interpreter import keep_out_of_garbage_collection
from operators.table_loader import load_pinned_table
from operators.wall_clock import wall_clock_ms

MODULE = "livetower.bench.bare_loop"
ROUNDS = 3


def answer_all(values: Sequence[bytes], keys: Sequence[bytes], table: ItemTable, model: ModelSettings) -> list[bytes]:
    """The recommendation record of every event, from users that nobody knows yet."""
    users: dict[str, bytes] = {}
    records = []
    for value, key in zip(values, keys, strict=True):
        kafka_ms = wall_clock_ms()
        event = parse_interaction(
            value,
            kafka_ms,
            max_bytes=model.max_record_bytes,
            future_tolerance_ms=1_000 * model.future_tolerance_s,
        )
        user_key = user_key_of(event.user_id)
        check_key(user_key, key, event.user_id)
        result = advance(users.get(user_key), event, table, kafka_ms, model)
        learned_ms = wall_clock_ms()
        if result.recommendation is not None:
            clock = Clock(event.event_time_ms, kafka_ms, learned_ms, wall_clock_ms())
            records.append(encode_recommendation(result.recommendation, clock))
        if result.blob is None:
            users.pop(user_key, None)
        else:
            users[user_key] = result.blob
    return records


# ---- in a process of its own ---------------------------------------------------------------------


def write_task(
    file: Path,
    values: Sequence[bytes],
    keys: Sequence[bytes],
    snapshot: str,
    settings: Path | None,
    overrides: Sequence[str],
) -> None:
    """Write down what the process is to do."""
    task = {
        "values": [value.decode() for value in values],
        "keys": [key.decode() for key in keys],
        "snapshot": snapshot,
        "settings": None if settings is None else str(settings),
        "overrides": list(overrides),
    }
    file.write_bytes(orjson.dumps(task))


def command_of(file: Path, rounds: int = ROUNDS) -> list[str]:
    """The command that does it."""
    return [sys.executable, "-m", MODULE, str(file), str(rounds)]


def run_task(file: Path) -> list[float]:
    """Events per second of each round. Raises BenchError with the last line that the process wrote if it fails."""
    done = subprocess.run(command_of(file), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise BenchError(f"bare loop: events per second were needed; its process ended with {done.returncode}: {last}")
    speeds: list[float] = orjson.loads(done.stdout)
    return speeds


def main(file: Path, rounds: int) -> None:
    """Do what the file says, and print."""
    task = orjson.loads(file.read_bytes())
    values, keys = [value.encode() for value in task["values"]], [key.encode() for key in task["keys"]]
    model, _ = evaluation_settings(Path(task["settings"]) if task["settings"] else None, task["overrides"])
    table = load_pinned_table(task["snapshot"], model.dimension)
    compile_user_side(model)
    keep_out_of_garbage_collection()
    speeds = []
    for _ in range(rounds):
        began = time.perf_counter()
        answer_all(values, keys, table, model)
        speeds.append(len(values) / (time.perf_counter() - began))
    print(orjson.dumps(speeds).decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
