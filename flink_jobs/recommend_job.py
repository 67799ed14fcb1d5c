"""The job's main: settings, topics, tables, topology, routes, uids, execution. Nothing else knows them all.

    flink run [-d] -py flink_jobs/recommend_job.py --settings livetower.toml --set job.parallelism=2

Start reading at `run`; then topology.py, tables.py. What is an option of the cluster and not of the job (slots,
memory, state backend, thread mode, interpreter) is in the cluster's configuration: livetower/sandbox holds one.
"""

import argparse
import sys
from pathlib import Path

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from flink_jobs import jvm, tables
from flink_jobs.delivery import require_transactions
from flink_jobs.job_facts import job_facts
from flink_jobs.settings import InvalidSettings, JobSettings, load_settings, settings_json
from flink_jobs.topics import create_missing_topics
from flink_jobs.topology import LEARN_AND_RECOMMEND, TRAIN_ITEM_TOWER, Streams, build
from models.snapshots import InvalidSnapshot
from models.tower_artefact import InvalidArtefact
from operators.code_digest import code_digest
from operators.learn_and_recommend import LearnAndRecommend
from operators.rows import ANNOUNCEMENT, RECOMMENDATION, RECOMMENDATION_HEADERS, REJECTED
from operators.start_tower import load_start_tower
from operators.table_loader import load_pinned_table
from operators.train_item_tower import TrainItemTower

JOB_NAME = "livetower"


def main(arguments: list[str]) -> int:
    """Submit the job; a setting that cannot be is answered by one line on standard error and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="recommend_job", description="Livetower's Flink job: learn from interactions and recommend."
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="TOML file with the job's settings")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="section.name=value",
        dest="overrides",
        help="one setting, over the file",
    )
    parser.add_argument(
        "--pin-snapshot",
        metavar="FILE",
        help="rank with this full snapshot for ever, whatever is announced (short for --set job.pin_snapshot=FILE)",
    )
    chosen = parser.parse_args(arguments)
    pinned = [f"job.pin_snapshot={chosen.pin_snapshot}"] if chosen.pin_snapshot else []
    try:
        run(load_settings(chosen.settings, [*chosen.overrides, *pinned]))
    except InvalidSettings as error:
        print(f"recommend_job: {error}", file=sys.stderr)
        return 2
    return 0


def run(settings: JobSettings) -> None:
    """Build and execute the job that the settings describe."""
    env = StreamExecutionEnvironment.get_execution_environment(job_options(settings))
    require_thread_mode(env)
    require_pinned_snapshot(settings)
    require_start_tower(settings)
    env.get_config().set_global_job_parameters(job_facts(settings))
    print(f"recommend_job: settings {settings_json(settings)}", file=sys.stderr)
    require_transactions(settings)
    for topic in create_missing_topics(settings):
        print(f"recommend_job: created topic {topic!r}", file=sys.stderr)

    table_env = StreamTableEnvironment.create(env)
    table_env.get_config().set(*tables.TIME_ZONE)
    for statement in tables.all_tables(settings):
        table_env.execute_sql(statement)
    facts = {"snapshot_root": settings.job.snapshot_root, "code_digest": code_digest()}
    lane = tables.INTERACTIONS_PRIORITY if settings.topics.interactions_priority else None
    streams = build(
        table_env,
        interactions=table_env.sql_query(tables.interactions_query(settings.job.user_key)),
        snapshots=table_env.sql_query(tables.snapshots_query()),
        items=table_env.sql_query(tables.items_query()),
        commands=table_env.sql_query(tables.commands_query()),
        learn_and_recommend=LearnAndRecommend(settings.model, **facts, pinned_snapshot=settings.job.pin_snapshot),
        train_item_tower=TrainItemTower(
            settings.model,
            settings.tower,
            **facts,
            start_tower=settings.job.start_tower,
            job_settings=settings_json(settings),
        ),
        priority=table_env.sql_query(tables.interactions_query(settings.job.user_key, lane)) if lane else None,
    )
    route(table_env, streams, settings)
    jvm.set_own_uids(env)
    require_only_our_python(env)
    env.execute(JOB_NAME)


def job_options(settings: JobSettings) -> Configuration:
    """Flink's options that belong to the job; they win over the cluster's."""
    options = {
        "parallelism.default": settings.job.parallelism,
        "pipeline.max-parallelism": settings.job.max_parallelism,
        "pipeline.object-reuse": "true",  # rows pass from operator to operator without a copy; none of ours keeps one
        "execution.buffer-timeout.interval": "0 ms",  # a recommendation is not held back to fill a buffer
        "execution.checkpointing.interval": f"{round(settings.job.checkpoint_interval_s * 1000)} ms",
        "execution.checkpointing.unaligned.enabled": "false",  # buffer debloating keeps aligned ones short
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "restart-strategy.type": "exponential-delay",
    }
    configuration = Configuration()
    for name, value in options.items():
        configuration.set_string(name, str(value))
    return configuration


def route(table_env: StreamTableEnvironment, streams: Streams, settings: JobSettings) -> None:
    """Send each kind of emission to its topic."""
    table_env.create_temporary_view("emissions", streams.emissions)
    table_env.create_temporary_view("tower_emissions", streams.tower_emissions)
    routes = table_env.create_statement_set()
    routes.add_insert_sql(tables.insert_recommendations("emissions", RECOMMENDATION, RECOMMENDATION_HEADERS))
    routes.add_insert_sql(tables.insert_kind(tables.ITEM_SNAPSHOTS, "tower_emissions", ANNOUNCEMENT))
    routes.add_insert_sql(tables.insert_rejected(["emissions", "tower_emissions"], REJECTED, settings))
    routes.attach_as_datastream()


def require_thread_mode(env: StreamExecutionEnvironment) -> None:
    """Refuse process mode: it runs at a twentieth of the speed, in bundles of a second."""
    mode = jvm.execution_mode(env)
    if mode != "thread":
        raise InvalidSettings(
            f"python.execution-mode: needed 'thread'; got {mode!r}. Set it in the cluster's configuration or with "
            "'flink run -Dpython.execution-mode=thread'."
        )


def require_pinned_snapshot(settings: JobSettings) -> None:
    """Refuse a pinned snapshot that cannot be read: on a TaskManager it would fail after every restart."""
    file = settings.job.pin_snapshot
    try:
        if file:
            load_pinned_table(file, settings.model.dimension)
    except (OSError, InvalidSnapshot) as error:
        raise InvalidSettings(f"job.pin_snapshot: needed a full snapshot file; got {file!r}: {error}") from error


def require_start_tower(settings: JobSettings) -> None:
    """Refuse a start tower that cannot be read or was trained with settings that do not fit."""
    file = settings.job.start_tower
    try:
        if file:
            load_start_tower(file, settings.model, settings.tower)
    except (OSError, InvalidArtefact) as error:
        raise InvalidSettings(
            f"job.start_tower: needed an item tower that `livetower train` wrote; got {file!r}: {error}"
        ) from error


def require_only_our_python(env: StreamExecutionEnvironment) -> None:
    """Refuse a graph with Python in other places: two embedded operators in one task thread deadlock."""
    ours, found = sorted([LEARN_AND_RECOMMEND, TRAIN_ITEM_TOWER]), jvm.python_operators(env)
    if found != ours:
        raise RuntimeError(f"job graph: needed exactly these Python operators {ours}; got {found}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
