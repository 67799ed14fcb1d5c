"""Ending the job from Python when no restart can cure it.

Flink restarts a job after any exception of Python's, for ever. Its Java side takes one exception as final,
SuppressRestartsException, which a Python exception cannot become; so the task is failed with one from here, through
pemja, by which embedded Python reaches Java. The task's environment is a private field: pinned to Flink 2.2
(tests/test_job_submission.py).
"""

import sys

from pyflink.datastream import RuntimeContext


def suppress_restarts(context: RuntimeContext, error: Exception) -> None:
    """Let the job end with this error, which the caller raises next. Outside of a TaskManager nothing happens."""
    if "pemja" not in sys.modules:
        return
    from pemja import findClass

    java_context = context._runtime_context
    field = java_context.getClass().getDeclaredField("taskEnvironment")
    field.setAccessible(True)
    cause = findClass("java.lang.RuntimeException")(str(error))
    final = findClass("org.apache.flink.runtime.execution.SuppressRestartsException")(cause)
    field.get(java_context).failExternally(final)
