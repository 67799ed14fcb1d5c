"""What `livetower inspect` reads from a state is what Flink itself reads from it: another version of Flink shows here.

Flink's State Processor API restores the state in a RocksDB of its own, in this process's JVM, without a cluster. Its
KeyedStateReader is no public class, and its jar has a version behind Flink's (2.2.0 for 2.2.1).
"""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import local_flink  # noqa: F401  # finds a Java for the gateway
import pytest
from pyflink.common import Configuration, Types
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import add_jars_to_context_class_loader
from stored_states import unpacked

from livetower.inspect.reading import open_state
from livetower.sandbox.jars import resolved
from models.records import user_key_of

pytestmark = pytest.mark.flink

LIVES_MS = 365 * 86_400_000
STRING, BYTES = 2**31 - 1, 2**31 - 1


def read_by_flink(state: Path, uid: str, name: str, *, lives_ms: int | None) -> dict[str, bytes]:
    """Key (as Java prints its row) → blob of every entry of a ValueState, with or without a time to live."""
    jars = [jar.absolute().as_uri() for jar in resolved("tests")]
    configuration = Configuration()
    configuration.set_string("pipeline.jars", ";".join(jars))
    configuration.set_string("execution.runtime-mode", "BATCH")
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    env.set_parallelism(1)
    add_jars_to_context_class_loader(jars)
    jvm = get_gateway().jvm
    flink, types = jvm.org.apache.flink, jvm.org.apache.flink.table.types.logical
    row = java_list(
        types.RowType.RowField("key", types.VarCharType(STRING)),
        types.RowType.RowField("value", types.VarBinaryType(BYTES)),
    )
    row_type = types.RowType(row)
    value_type = Types.PICKLED_BYTE_ARRAY().get_java_type_info()
    descriptor = flink.api.common.state.ValueStateDescriptor(name, value_type)
    if lives_ms is not None:
        ttl = flink.api.common.state.StateTtlConfig.newBuilder(jvm.java.time.Duration.ofMillis(lives_ms))
        descriptor.enableTimeToLive(ttl.build())
    column = flink.state.table.StateValueColumnConfiguration(1, name, value_kind(), None, value_type)
    column.setStateDescriptor(descriptor)
    reader = flink.state.table.KeyedStateReader(row_type, flink.api.java.tuple.Tuple2(0, java_list(column)))
    backend = flink.state.rocksdb.EmbeddedRocksDBStateBackend()
    saved = flink.state.api.SavepointReader.read(env._j_stream_execution_environment, state.as_uri(), backend)
    entries = saved.readKeyedState(
        flink.state.api.OperatorIdentifier.forUid(uid),
        reader,
        Types.ROW([Types.STRING()]).get_java_type_info(),
        flink.table.runtime.typeutils.InternalTypeInfo.of(row_type),
    ).executeAndCollect()
    try:
        return dict(pairs(entries))
    finally:
        entries.close()


def pairs(entries: Any) -> Iterator[tuple[str, bytes]]:
    while entries.hasNext():
        entry = entries.next()
        yield entry.getString(0).toString(), pickle.loads(bytes(entry.getBinary(1)))  # noqa: S301  # of our fixture


def value_kind() -> Any:
    """The first of VALUE, LIST, MAP; the class is in a jar that py4j's own loader does not know."""
    jvm = get_gateway().jvm
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    name = "org.apache.flink.state.table.SavepointConnectorOptions$StateType"
    return jvm.java.lang.Class.forName(name, True, loader).getEnumConstants()[0]


def java_list(*values: Any) -> Any:
    made = get_gateway().jvm.java.util.ArrayList()
    for value in values:
        made.add(value)
    return made


def read_here(state: Path) -> dict[str, bytes]:
    with open_state(str(state)) as opened:
        return {f"+I[{user_key_of(user.user_id)}]": user.blob for user in opened.users()}


@pytest.mark.parametrize("way", ["canonical", "native"])
def test_flink_reads_every_user_s_blob_as_inspect_does(tmp_path, way):
    state = unpacked(way, tmp_path)
    found = read_here(state)
    assert len(found) == 6
    assert read_by_flink(state, "learn-and-recommend", "user", lives_ms=LIVES_MS) == found


def test_flink_reads_the_tower_s_progress_as_inspect_does(tmp_path):
    state = unpacked("canonical", tmp_path)
    with open_state(str(state)) as opened:
        assert read_by_flink(state, "train-item-tower", "progress", lives_ms=None) == {"+I[tower]": opened.progress()}


def test_flink_takes_the_time_to_live_away_when_it_was_switched_off(tmp_path):
    state = unpacked("canonical", tmp_path)
    assert read_by_flink(state, "learn-and-recommend", "user", lives_ms=None) == read_here(state)


def test_flink_adds_a_time_to_live_when_it_was_switched_on(tmp_path):
    state = unpacked("canonical", tmp_path)
    with open_state(str(state)) as opened:
        progress = opened.progress()
    assert read_by_flink(state, "train-item-tower", "progress", lives_ms=LIVES_MS) == {"+I[tower]": progress}
