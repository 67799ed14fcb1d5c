"""A real Kafka broker and a real Flink cluster on loopback, from Python wheels and a few jars.

    from livetower.sandbox import Sandbox

    sandbox = Sandbox("/tmp/mine")
    sandbox.up(taskmanagers=2)
    job_id = sandbox.submit("--set", "model.dimension=32")
    sandbox.down()

It knows how to start, find, submit to and stop such a cluster; it knows nothing of what the job computes. Start reading
at `sandbox.py`; `flink.py` and `kafka.py` hold the configuration, `processes.py` decides which process may be stopped.
"""

from livetower.sandbox.errors import SandboxError
from livetower.sandbox.sandbox import Sandbox

__all__ = ["Sandbox", "SandboxError"]
