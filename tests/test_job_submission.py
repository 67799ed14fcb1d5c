"""Submitting the job: with other code than the TaskManagers run, and from a wheel as docs/deployment.md says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Producer
from made_up import interaction, item
from running_job import TOPICS, Topic, now_ms

from livetower.sandbox import Sandbox, SandboxError, flink, java

pytestmark = pytest.mark.flink

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "operators", "flink_jobs", "livetower")


def copy_of_the_code(folder: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def own_topics(prefix: str) -> list[str]:
    names = [f"topics.{name}={prefix}-{name}" for name in TOPICS]
    return [word for setting in [*names, f"job.group_id={prefix}"] for word in ("--set", setting)]


def test_other_code_than_the_taskmanagers_run_ends_the_job_with_one_sentence(sandbox, tmp_path, monkeypatch):
    other = copy_of_the_code(tmp_path / "other")
    with (other / "models" / "recommender.py").open("a") as file:
        file.write("# changed\n")
    known = {job["id"] for job in sandbox.rest("/jobs")["jobs"]}
    monkeypatch.setattr(java, "source_root", lambda: other)  # what the client imports; the TaskManagers run already
    with pytest.raises(SandboxError, match=r"submitted with code \w{12} but this TaskManager imported \w{12}: restart"):
        sandbox.submit(*own_topics("other-code"))
    (job,) = [job for job in sandbox.rest("/jobs")["jobs"] if job["id"] not in known]
    assert job["status"] == "FAILED"  # by itself: with one restart it would have been cancelled
    failures = sandbox.rest(f"/jobs/{job['id']}/exceptions")["exceptionHistory"]["entries"]
    assert len(failures) == 1


def documented_command() -> str:
    """The one `flink run` of docs/deployment.md."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs" / "deployment.md").read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "$ flink run" in block]
    lines = block[block.index("$ flink run") + 2 :].split("\n$ ")[0]
    return lines.replace("\\\n", " ").strip()


def test_the_documented_flink_run_works_from_a_wheel(run_dir, tmp_path, monkeypatch):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "-w", tmp_path / "dist", copy_of_the_code(tmp_path / "code")], check=True)
    (wheel,) = (tmp_path / "dist").glob("livetower-*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(install, check=True)
    monkeypatch.setattr(java, "source_root", lambda: site)
    sandbox = Sandbox(run_dir)
    try:
        sandbox.up(taskmanagers=2, flink_options={"env.java.opts.all": " ".join(flink.module_options())})
        command = documented_command()
        for written, here in {
            "kafka-1:9092": sandbox.bootstrap_servers,
            "s3://bucket/livetower": str(tmp_path / "snapshots"),
            "job.parallelism=4": "job.parallelism=1",
            "topics.replication_factor=3": "topics.replication_factor=1",
        }.items():
            assert written in command, command
            command = command.replace(written, here)
        environment = java.embedding_environment() | flink.client_environment(run_dir)
        environment["PATH"] = f"{flink.flink_home()}/bin:{environment['PATH']}"
        run = subprocess.run(
            ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert "JobID" in run.stdout, run.stdout + run.stderr
        assert str(site) in subprocess.run(
            [sys.executable, "-c", "import flink_jobs; print(flink_jobs.__file__)"],
            env=environment, capture_output=True, text=True, check=True, cwd=tmp_path,
        ).stdout  # fmt: skip
        producer = producer_of(sandbox)
        for n in range(20):
            producer.produce("items", key=b"i%d" % n, value=item(f"i{n}"))
        for n in range(3):
            producer.produce("interactions", key=b"u", value=interaction(f"e{n}", "u", f"i{n}", event_time_ms=now_ms()))
        producer.flush(10)
        asked = iter(range(10_000))

        def a_list_came(messages: list) -> bool:
            producer.produce(
                "interactions",
                key=b"u",
                value=interaction(f"r{next(asked)}", "u", None, event_type="request", event_time_ms=now_ms()),
            )
            producer.flush(10)
            return bool(messages)

        topic = Topic(sandbox.bootstrap_servers, "recommendations")
        topic.wait_until("a list", a_list_came)
        topic.close()
    finally:
        sandbox.down()


def producer_of(sandbox: Sandbox) -> Producer:
    return Producer({"bootstrap.servers": sandbox.bootstrap_servers})
