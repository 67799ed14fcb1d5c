"""Every call of the job to what PyFlink does not offer, through py4j; pinned to Flink 2.2 (tests/test_jvm.py).

key_in_jvm        PyFlink's key_by runs a Python function for every record, a second crossing of the language border.
                  The class that keys that function's result, KeyByKeySelector, keys a pair made by SQL as well.
buffer_up_to      How long rows on one edge may wait in a network buffer; PyFlink sets it for the whole job only.
set_own_uids      SQL counts the uids of sources and sinks through the plan, so a table added first would lose all
                  offsets on restore (no value of table.exec.uid.generation helps). The name of a table stays.
python_operators  What of the graph runs in Python. Two embedded operators in one task thread deadlock, so main checks
                  that there are only ours.
execution_mode    The mode after the program's, the command line's and the cluster's configuration are merged.

It knows no table of the job and no operator. Read next: topology.py.
"""

from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.common.typeinfo import RowTypeInfo
from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import load_java_class

# The only factory that makes PyFlink's operators, and the class that they all extend.
SIMPLE_FACTORY = "org.apache.flink.streaming.api.operators.SimpleOperatorFactory"
PYTHON_OPERATOR = "org.apache.flink.streaming.api.operators.python.AbstractPythonFunctionOperator"


def key_in_jvm(pairs: DataStream, value_type: RowTypeInfo) -> KeyedStream:
    """Rows (key STRING, value ROW) keyed by their first field; a keyed operator sees the value alone."""
    selector = get_gateway().jvm.KeyByKeySelector()
    key_type = Types.ROW([Types.STRING()]).get_java_type_info()
    return KeyedStream(pairs._j_data_stream.keyBy(selector, key_type), value_type, pairs)


def buffer_up_to(stream: DataStream, milliseconds: int) -> None:
    """Let what leaves the stream's last operator over the network wait so long for a buffer to fill."""
    stream._j_data_stream.getTransformation().setBufferTimeout(milliseconds)


def set_own_uids(env: StreamExecutionEnvironment) -> dict[str, str]:
    """Give each SQL source and sink the uid 'source-<table>' or 'sink-<table>'; returns uid → the name Flink shows.

    Call it after every statement is attached and before the job is executed. Raises ValueError when two would get the
    same uid.
    """
    uids: dict[str, str] = {}
    for transformation in transformations(env):
        role = {"SourceTransformation": "source", "SinkTransformation": "sink"}.get(class_name(transformation))
        if role is None:
            continue
        uid = f"{role}-{table_of(transformation.getName())}"
        if uid in uids:
            raise ValueError(
                f"uid {uid!r}: needed one {role} a table; got two ({uids[uid]!r} and {transformation.getName()!r}). "
                "Read or write the table once and share the stream, or declare a second table."
            )
        transformation.setUid(uid)
        uids[uid] = transformation.getName()
    return uids


def python_operators(env: StreamExecutionEnvironment) -> list[str]:
    """Names of the transformations that run Python, sorted."""
    return sorted(t.getName() for t in transformations(env) if runs_python(t))


def execution_mode(env: StreamExecutionEnvironment) -> str:
    """The python.execution-mode that the job would run in: 'process' (Flink's default) or 'thread'."""
    configuration = env._j_stream_execution_environment.getConfiguration().toMap()
    return configuration.get("python.execution-mode") or "process"


def transformations(env: StreamExecutionEnvironment) -> Iterator[Any]:
    """Every transformation of the environment once, walked from the sinks upstream."""
    seen: set[int] = set()
    waiting = list(env._j_stream_execution_environment.getTransformations())
    while waiting:
        transformation = waiting.pop()
        if transformation.getId() not in seen:
            seen.add(transformation.getId())
            waiting.extend(transformation.getInputs())
            yield transformation


def table_of(name: str) -> str:
    """The table in the name of a SQL source or sink.

    >>> table_of("item-snapshots[3]")
    'item-snapshots'
    """
    return name.partition("[")[0].removesuffix(":").strip()


def runs_python(transformation: Any) -> bool:
    """Whether the operator of a transformation, DataStream's or SQL's, is one of PyFlink's."""
    factory = get_gateway().jvm.org.apache.flink.python.util.PythonConfigUtil.getOperatorFactory(transformation)
    if factory is None or not load_java_class(SIMPLE_FACTORY).isInstance(factory):
        return False
    return bool(load_java_class(PYTHON_OPERATOR).isInstance(factory.getOperator()))


def class_name(java_object: Any) -> str:
    """The simple name of a Java object's class."""
    return str(java_object.getClass().getSimpleName())
