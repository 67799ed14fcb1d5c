import uuid

import pytest
from local_flink import local_tables
from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table.udf import udf

from flink_jobs.jvm import execution_mode, key_in_jvm, python_operators, set_own_uids, table_of
from flink_jobs.settings import load_settings
from flink_jobs.tables import all_tables

ROW = Types.ROW_NAMED(["key"], [Types.PRIMITIVE_ARRAY(Types.BYTE())])
PAIR = Types.ROW_NAMED(["key", "row"], [Types.STRING(), ROW])


class Nothing(KeyedProcessFunction):
    def process_element(self, value, ctx):
        return []


def kafka_tables():
    env, tables = local_tables()
    for statement in all_tables(load_settings(None, ["job.snapshot_root=/snapshots"])):
        tables.execute_sql(statement)
    return env, tables


def pairs_of(tables, table):
    query = f"SELECT COALESCE(TO_BASE64(`key`), ''), ROW(`key`) FROM `{table}`"
    return tables.to_append_stream(tables.sql_query(query), PAIR)


NO_HEADERS = "CAST(NULL AS MAP<STRING, BYTES>)"


def insert(tables, *statements):
    statement_set = tables.create_statement_set()
    for statement in statements:
        statement_set.add_insert_sql(statement)
    statement_set.attach_as_datastream()


def write(tables, keyed):
    """Send a keyed stream through an operator of ours into a table."""
    view = f"view_{uuid.uuid4().hex}"
    tables.create_temporary_view(view, tables.from_data_stream(keyed.process(Nothing(), ROW).name("ours")))
    insert(tables, f"INSERT INTO `recommendations` SELECT `key`, `key`, {NO_HEADERS} FROM `{view}`")


def uids_in_graph(env: StreamExecutionEnvironment) -> set[str]:
    """The uids in the graph that Flink would run."""
    nodes = get_gateway().jvm.java.util.ArrayList(
        env._j_stream_execution_environment.getStreamGraph(False).getStreamNodes()
    )
    return {node.getTransformationUID() for node in nodes} - {None}


def test_sources_and_sinks_carry_the_names_of_their_tables_as_uids():
    env, tables = kafka_tables()
    insert(
        tables,
        f"INSERT INTO `recommendations` SELECT `key`, `value`, {NO_HEADERS} FROM `interactions`",
        "INSERT INTO `item-snapshots` SELECT `key`, `value` FROM `items`",
    )

    uids = set_own_uids(env)

    assert sorted(uids) == ["sink-item-snapshots", "sink-recommendations", "source-interactions", "source-items"]
    in_graph = uids_in_graph(env)
    assert {"source-interactions", "source-items"} <= in_graph
    # Flink makes a writer and a committer of a sink, and their uids of the sink's.
    assert {uid.split(": ")[-1] for uid in in_graph} > {"sink-recommendations", "sink-item-snapshots"}


def test_a_table_added_first_changes_no_uid():
    def uids(*statements):
        env, tables = kafka_tables()
        insert(tables, *statements)
        set_own_uids(env)
        return uids_in_graph(env)

    old = f"INSERT INTO `recommendations` SELECT `key`, `value`, {NO_HEADERS} FROM `interactions`"
    added = "INSERT INTO `item-snapshots` SELECT `key`, `value` FROM `items`"
    assert uids(old) < uids(added, old)


def test_a_table_that_is_read_twice_is_refused():
    env, tables = kafka_tables()
    both = key_in_jvm(pairs_of(tables, "items").union(pairs_of(tables, "items")), ROW)
    write(tables, both)
    with pytest.raises(ValueError, match=r"uid 'source-items': needed one source a table; got two"):
        set_own_uids(env)


def test_keying_in_the_jvm_brings_no_python_operator_and_key_by_brings_one():
    env, tables = kafka_tables()
    write(tables, key_in_jvm(pairs_of(tables, "items"), ROW))
    assert python_operators(env) == ["ours"]

    env, tables = kafka_tables()
    write(tables, pairs_of(tables, "items").key_by(lambda pair: pair[0], Types.STRING()))
    assert len(python_operators(env)) > 1


def test_python_hidden_in_sql_is_found():
    env, tables = kafka_tables()
    tables.create_temporary_system_function("same", udf(lambda key: key, result_type="BYTES"))
    insert(tables, f"INSERT INTO `recommendations` SELECT same(`key`), `value`, {NO_HEADERS} FROM `interactions`")
    assert len(python_operators(env)) == 1


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_the_execution_mode_is_the_one_configured(mode):
    env, _ = local_tables(python__execution_mode=mode)
    assert execution_mode(env) == mode


def test_without_configuration_the_execution_mode_is_flinks_default():
    assert execution_mode(StreamExecutionEnvironment.get_execution_environment()) == "process"


def test_a_table_may_have_dashes_in_its_name():
    assert table_of("item-snapshots[12]") == "item-snapshots"
