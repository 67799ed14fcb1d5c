"""Where the sandbox's processes log, and how much of it stays: log/NAME.log, which rotates, and log/NAME.out.

The first is written by log4j, the second is what a process prints past it: the JVM's own words when it cannot start or
dies, and what a library prints. The rotated files are NAME.log.1 (the newest), NAME.log.2 …
"""

from collections.abc import Mapping
from pathlib import Path

LOG_MIB = 10
LOGS_KEPT = 3
"""Rotated files beside the one that is written: four times LOG_MIB for a process at most."""
PATTERN = "%d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1} - %m%n"


def log_path(run_dir: Path, name: str) -> Path:
    """Return the log of a process by its name."""
    return run_dir / "log" / f"{name}.log"


def output_path(run_dir: Path, name: str) -> Path:
    """Return the file of what a process prints past its log."""
    return run_dir / "log" / f"{name}.out"


def file_option(run_dir: Path, name: str) -> str:
    """Return the JVM's option that names its log to `rotating`'s configuration. Not log.file: Flink would put RocksDB's
    own logs beside it, one for each state that was ever opened.
    """
    return f"-Dlivetower.log={log_path(run_dir, name)}"


def rotating(levels: Mapping[str, str]) -> str:
    """Return a log4j configuration that writes to the file of `file_option`, with these levels by logger."""
    return _configuration(
        {
            "type": "RollingFile",
            "fileName": "${sys:livetower.log}",
            "filePattern": "${sys:livetower.log}.%i",
            "policies.type": "Policies",
            "policies.size.type": "SizeBasedTriggeringPolicy",
            "policies.size.size": f"{LOG_MIB}MB",
            "strategy.type": "DefaultRolloverStrategy",
            "strategy.fileIndex": "min",  # .1 is the newest
            "strategy.max": str(LOGS_KEPT),
        },
        levels,
    )


def printed(levels: Mapping[str, str]) -> str:
    """Return a log4j configuration that writes to stdout, with these levels by logger."""
    return _configuration({"type": "CONSOLE"}, levels)


def _configuration(appender: Mapping[str, str], levels: Mapping[str, str]) -> str:
    lines = ["rootLogger.level = INFO", "rootLogger.appenderRef.main.ref = Main", "appender.main.name = Main"]
    lines += [f"appender.main.{key} = {value}" for key, value in appender.items()]
    lines += ["appender.main.layout.type = PatternLayout", f"appender.main.layout.pattern = {PATTERN}"]
    for n, (logger, level) in enumerate(levels.items()):
        lines += [f"logger.l{n}.name = {logger}", f"logger.l{n}.level = {level}"]
    return "".join(f"{line}\n" for line in lines)
