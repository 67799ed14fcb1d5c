import pytest
from local_flink import local_tables
from pyflink.common import Types
from pyflink.datastream import KeyedBroadcastProcessFunction, KeyedProcessFunction
from pyflink.datastream.state import MapStateDescriptor

from flink_jobs import jvm
from flink_jobs import tables as sql
from flink_jobs.job_facts import UIDS
from flink_jobs.recommend_job import job_options, require_only_our_python, require_thread_mode, route
from flink_jobs.settings import InvalidSettings, load_settings
from flink_jobs.topology import Streams, build

SETTINGS = load_settings(None, ["job.snapshot_root=/snapshots", "job.parallelism=3"])


class Learn(KeyedBroadcastProcessFunction):
    SNAPSHOTS = MapStateDescriptor("item-snapshots", Types.STRING(), Types.PICKLED_BYTE_ARRAY())

    def process_element(self, value, ctx):
        return []

    def process_broadcast_element(self, value, ctx):
        pass


class Train(KeyedProcessFunction):
    def process_element(self, value, ctx):
        return []


@pytest.fixture
def job():
    """The environment, its tables, and the streams of the job with operators that do nothing."""
    env, tables = local_tables(parallelism__default="3")
    for statement in sql.all_tables(SETTINGS):
        tables.execute_sql(statement)
    streams = build(
        tables,
        interactions=tables.sql_query(sql.interactions_query("kafka-key")),
        snapshots=tables.sql_query(sql.snapshots_query()),
        items=tables.sql_query(sql.items_query()),
        commands=tables.sql_query(sql.commands_query()),
        learn_and_recommend=Learn(),
        train_item_tower=Train(),
        priority=tables.sql_query(sql.interactions_query("kafka-key", sql.INTERACTIONS_PRIORITY)),
    )
    return env, tables, streams


def named(env, name):
    (found,) = (t for t in jvm.transformations(env) if t.getName() == name)
    return found


def test_the_two_operators_are_the_only_python_in_the_graph(job):
    env, tables, streams = job
    route(tables, streams, SETTINGS)
    assert jvm.python_operators(env) == ["learn-and-recommend", "train-item-tower"]
    require_only_our_python(env)


def test_an_operators_uid_is_its_name(job):
    env, tables, streams = job
    route(tables, streams, SETTINGS)
    assert [named(env, name).getUid() for name in ("learn-and-recommend", "train-item-tower")] == [
        "learn-and-recommend",
        "train-item-tower",
    ]


def test_the_tower_has_one_subtask_and_slots_of_its_own(job):
    env, tables, streams = job
    route(tables, streams, SETTINGS)
    tower, learn = named(env, "train-item-tower"), named(env, "learn-and-recommend")
    assert (tower.getParallelism(), learn.getParallelism()) == (1, 3)
    assert tower.getSlotSharingGroup().get().getName() == "item-tower"
    assert not learn.getSlotSharingGroup().isPresent()


def test_every_source_and_sink_is_there_once(job):
    env, tables, streams = job
    route(tables, streams, SETTINGS)
    assert sorted(jvm.set_own_uids(env)) == [
        "sink-item-snapshots",
        "sink-recommendations",
        "sink-rejected",
        "source-commands",
        "source-interactions",
        "source-interactions-priority",
        "source-item-snapshots",
        "source-items",
    ]


def test_emissions_carry_their_columns(job):
    _, _, streams = job
    assert isinstance(streams, Streams)
    columns = ["kind", "key", "value", "headers", "snapshot", "emitted_ms", "example"]
    assert streams.emissions.get_schema().get_field_names() == columns
    assert streams.tower_emissions.get_schema().get_field_names() == columns


def test_process_mode_is_refused_with_its_cure():
    env, _ = local_tables(python__execution_mode="process")
    with pytest.raises(InvalidSettings, match=r"python\.execution-mode: needed 'thread'; got 'process'.*-Dpython"):
        require_thread_mode(env)


def test_python_between_the_operators_is_refused(job):
    env, tables, streams = job
    tables.to_data_stream(streams.emissions).map(lambda row: row[0], Types.STRING()).name("extra").print()
    with pytest.raises(RuntimeError, match=r"needed exactly these Python operators .*extra"):
        require_only_our_python(env)


def test_the_jobs_options_say_what_the_settings_say():
    settings = load_settings(None, ["job.snapshot_root=/s", "job.checkpoint_interval_s=2.5", "job.parallelism=2"])
    options = job_options(settings).to_dict()
    assert options["execution.checkpointing.interval"] == "2500 ms"
    assert options["parallelism.default"] == "2"
    assert options["pipeline.max-parallelism"] == "128"


def test_a_job_names_the_uids_of_its_graph(job):
    env, tables, streams = job
    route(tables, streams, SETTINGS)
    jvm.set_own_uids(env)
    named = {transformation.getUid() for transformation in jvm.transformations(env)}
    assert named - {None} == set(UIDS)
