"""A main that adds an output before the job's own: every list a second time, in a topic of its own.

    flink run -py livetower/chaos/extra_output_job.py --set … --set topics.recommendations=NAME

The copies go to NAME-copies. It stands for a new version of the job whose graph has grown.
"""

import sys

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from flink_jobs import jvm, tables, topology
from flink_jobs.job_facts import job_facts
from flink_jobs.recommend_job import job_options
from flink_jobs.settings import load_settings
from operators.code_digest import code_digest
from operators.learn_and_recommend import LearnAndRecommend
from operators.rows import ANNOUNCEMENT, RECOMMENDATION, RECOMMENDATION_HEADERS, REJECTED
from operators.train_item_tower import TrainItemTower


def main() -> None:
    """Submit it."""
    settings = load_settings(None, [word for word in sys.argv[1:] if word != "--set"])
    env = StreamExecutionEnvironment.get_execution_environment(job_options(settings))
    env.get_config().set_global_job_parameters(job_facts(settings))
    table_env = StreamTableEnvironment.create(env)
    table_env.get_config().set(*tables.TIME_ZONE)
    copies = f"{settings.topics.recommendations}-copies"
    table_env.execute_sql(tables.create_table("copies", tables.KEY_AND_VALUE, settings, copies, tables.PROMPT_SINK))
    for statement in tables.all_tables(settings):
        table_env.execute_sql(statement)
    facts = {"snapshot_root": settings.job.snapshot_root, "code_digest": code_digest()}
    streams = topology.build(
        table_env,
        interactions=table_env.sql_query(tables.interactions_query(settings.job.user_key)),
        snapshots=table_env.sql_query(tables.snapshots_query()),
        items=table_env.sql_query(tables.items_query()),
        commands=table_env.sql_query(tables.commands_query()),
        learn_and_recommend=LearnAndRecommend(settings.model, **facts, pinned_snapshot=settings.job.pin_snapshot),
        train_item_tower=TrainItemTower(settings.model, settings.tower, **facts, start_tower=settings.job.start_tower),
        priority=table_env.sql_query(tables.interactions_query(settings.job.user_key, tables.INTERACTIONS_PRIORITY)),
    )
    table_env.create_temporary_view("emissions", streams.emissions)
    table_env.create_temporary_view("tower_emissions", streams.tower_emissions)
    routes = table_env.create_statement_set()
    routes.add_insert_sql(tables.insert_kind("copies", "emissions", RECOMMENDATION))
    routes.add_insert_sql(tables.insert_rejected(["emissions", "tower_emissions"], REJECTED, settings))
    routes.add_insert_sql(tables.insert_kind(tables.ITEM_SNAPSHOTS, "tower_emissions", ANNOUNCEMENT))
    routes.add_insert_sql(tables.insert_recommendations("emissions", RECOMMENDATION, RECOMMENDATION_HEADERS))
    routes.attach_as_datastream()
    jvm.set_own_uids(env)
    env.execute("livetower with copies")


if __name__ == "__main__":  # pytest imports it too, to look for doctests
    main()
