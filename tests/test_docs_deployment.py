"""docs/deployment.md says what the code does: figures, names of settings and counters, files and commands."""

import re
import shlex

import pytest
from container_files import ROOT, arguments, compose, compose_options, instructions, kubernetes

from flink_jobs.settings import JobSettings, load_settings
from livetower import cluster

PAGE = (ROOT / "docs" / "deployment.md").read_text()
OPERATORS = "".join(path.read_text() for path in (ROOT / "operators").glob("*.py"))


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's lines, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_file_it_links_exists():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", PAGE) if "://" not in link]
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
    assert len(links) >= 5


def test_the_sizes_in_its_table_are_the_formulas():
    table = rows(section("Size memory"))
    fixed = sum(cluster.TASKMANAGER_MIB.values()) - cluster.TASKMANAGER_MIB["task.off-heap"]
    assert f"container     = task.off-heap + {fixed} MiB" in PAGE
    assert f"{cluster.PYTHON_MIB} MiB + 3 x items" in PAGE
    for items, off_heap, container in table:
        needed = cluster.off_heap_mib(int(items.replace(",", "")))
        assert off_heap == f"{needed}m"
        assert container.split()[0] == f"{needed + fixed}m"
    assert len(table) == 3


@pytest.mark.parametrize("dimension", [32, 64, 128])
def test_the_written_formula_is_the_computed_one(dimension):
    (formula,) = re.findall(r"task\.off-heap = (.*) bytes, up to", PAGE)
    text = formula.replace("MiB", "* 2**20").replace(" x ", " * ")
    needed = eval(text, {"items": 250_000, "dimension": dimension, "neighbours": 50})  # noqa: S307 our own page
    steps = -(-needed // (64 * 2**20))
    assert cluster.off_heap_mib(250_000, dimension, 50) == 64 * steps


def test_every_counter_of_ours_that_is_watched_exists():
    flinks = {"numRestarts", "runningTime", "lastCheckpointDuration", "numberOfFailedCheckpoints", "lastCheckpointSize"}
    flinks |= {"pendingRecords"}
    watched = [cells[1] for cells in rows(section("Monitor"))]
    names = {name for cell in watched for name in re.findall(r"`(\w+)`", cell)} - flinks
    made = set(re.findall(r'counter\("(\w+)"\)', OPERATORS)) | set(
        re.findall(r'"(shed_\w+|skipped_batches)"', OPERATORS)
    )
    made |= {"snapshots_full", "snapshots_popularity"}  # operators/publisher.py names them by their kind
    assert names <= made
    assert {"accepted", "rejected", "no_table", "snapshots_withheld", "shed_batches"} <= names
    assert 'f"snapshots_{kind}"' in OPERATORS


def test_every_setting_it_names_is_a_setting_of_the_job():
    settings = load_settings(None, ["job.snapshot_root=/x"])
    names = re.findall(r"`(kafka|topics|job|model|tower)\.(\w+)`", PAGE)
    assert [name for name in names if not hasattr(getattr(settings, name[0]), name[1])] == []
    assert isinstance(settings, JobSettings)
    assert len(names) >= 5


def test_its_numbers_are_those_of_the_files():
    assert f"port {compose_options()['metrics.reporter.prometheus.port']} of every container" in PAGE
    ports = [port.rsplit(":", 1)[0] for service in compose()["services"].values() for port in service.get("ports", [])]
    assert sorted(ports) == ["127.0.0.1:8081", "127.0.0.1:9092"]
    process = f"{sum(cluster.JOBMANAGER_MIB.values())}m"
    assert compose()["services"]["jobmanager"]["mem_limit"] == process == "1600m"
    assert kubernetes()["spec"]["jobManager"]["resource"]["memory"] == process
    assert "JobManager's 1600 MiB" in PAGE


def test_the_build_arguments_in_its_table_are_the_dockerfiles():
    declared = {rest.split("=")[0] for name, rest in instructions() if name == "ARG"}
    named = {name for cells in rows(section("Build")) for name in re.findall(r"`(\w+)`", cells[0])}
    assert named == declared
    assert set(arguments()) <= declared


def test_its_compose_commands_name_services_that_exist():
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    commands = [line[2:] for block in blocks for line in block.splitlines() if "docker compose" in line]
    for command in commands:
        words = shlex.split(command, comments=True)
        assert words[:4] == ["docker", "compose", "-f", "docker/compose.yaml"], command
        if words[4] == "exec":
            assert words[5] in compose()["services"]
    assert len(commands) >= 3
