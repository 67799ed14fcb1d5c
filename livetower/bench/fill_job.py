"""The job, with one change: a record `fill` gives its user a made-up state, and nothing is learned from it.

    flink run -py livetower/bench/fill_job.py --set … --items 10000

make_state.py submits it. All else is the job's own: uids, serializers, time to live, tower, offsets. So its checkpoints
are the job's, and a million users are there in a minute and not in ten.
"""

import argparse
import sys

from pyflink.common import Row
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from flink_jobs import jvm, tables, topology
from flink_jobs.recommend_job import job_options, route
from flink_jobs.settings import load_settings
from livetower.bench.made_up_users import item_hashes, made_up_user
from models.user_state import encode_user_state
from operators.code_digest import code_digest
from operators.learn_and_recommend import LearnAndRecommend
from operators.train_item_tower import TrainItemTower

FILL = b"fill "
"""In front of the user's number."""


class FillUsers(LearnAndRecommend):
    """LearnAndRecommend, which puts the made-up state of a user where a record asks for it."""

    def fill_from(self, items: int) -> "FillUsers":
        """Let the users' items be drawn from so many."""
        self._items = items
        return self

    def open(self, runtime_context: RuntimeContext) -> None:
        super().open(runtime_context)
        self._hashes = item_hashes(self._items)

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> list[Row]:
        payload = value[2]
        if payload is None or not payload.startswith(FILL):
            return super().process_element(value, ctx)
        state = made_up_user(int(payload[len(FILL) :]), self._hashes, self._model)
        self._user.update(encode_user_state(state))
        return []


def main(arguments: list[str]) -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser(prog="fill_job")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--items", type=int, default=10_000)
    chosen = parser.parse_args(arguments)
    settings = load_settings(None, chosen.overrides)
    env = StreamExecutionEnvironment.get_execution_environment(job_options(settings))
    table_env = StreamTableEnvironment.create(env)
    table_env.get_config().set(*tables.TIME_ZONE)
    for statement in tables.all_tables(settings):
        table_env.execute_sql(statement)
    facts = {"snapshot_root": settings.job.snapshot_root, "code_digest": code_digest()}
    streams = topology.build(
        table_env,
        interactions=table_env.sql_query(tables.interactions_query(settings.job.user_key)),
        snapshots=table_env.sql_query(tables.snapshots_query()),
        items=table_env.sql_query(tables.items_query()),
        commands=table_env.sql_query(tables.commands_query()),
        learn_and_recommend=FillUsers(settings.model, **facts).fill_from(chosen.items),
        train_item_tower=TrainItemTower(settings.model, settings.tower, **facts),
    )
    route(table_env, streams, settings)
    jvm.set_own_uids(env)
    env.execute("livetower")


if __name__ == "__main__":
    main(sys.argv[1:])
