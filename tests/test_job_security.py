"""A broker that wants TLS and a password: the job and the commands work, the password is nowhere, a user is erased."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from running_job import RunningJob, wait_for

from flink_jobs.kafka_clients import librdkafka_properties, load_kafka
from livetower.consume import find_newest_list
from livetower.sandbox import Sandbox
from livetower.sandbox.java import java_executable
from livetower.sandbox.ports import LOOPBACK, Ports

pytestmark = pytest.mark.flink

PASSWORD = "geheim-7f3a-s3cr3t"
STORE_PASSWORD = "only-for-this-test"
ITEMS = [f"i{n}" for n in range(30)]


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A key with a certificate for loopback, PKCS12, and that certificate as PEM, by the keytool beside our Java."""
    store, pem = directory / "broker.p12", directory / "ca.pem"
    keytool = java_executable().with_name("keytool")
    place = ["-alias", "broker", "-keystore", str(store), "-storetype", "PKCS12", "-storepass", STORE_PASSWORD]
    named = ["-dname", "CN=localhost", "-ext", "SAN=ip:127.0.0.1,dns:localhost", "-ext", "BasicConstraints=ca:true"]
    for command in (
        ["-genkeypair", "-keyalg", "EC", "-validity", "2", *named, *place],
        ["-exportcert", "-rfc", "-file", str(pem), *place],
    ):
        subprocess.run([str(keytool), *command], check=True, capture_output=True)
    return store, pem


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A sandbox whose broker has a second listener, SASL_SSL with PLAIN; yields it, and the settings that reach it."""
    directory = tmp_path_factory.mktemp("secured")
    store, pem = make_certificate(directory)
    ports = Ports().chosen()
    second = Ports(**{name: getattr(ports, name) for name in ("kafka", "controller", "rest")}).chosen().jobmanager
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    broker = {
        "listeners": f"PLAINTEXT://{LOOPBACK}:{ports.kafka},CONTROLLER://{LOOPBACK}:{ports.controller},"
        f"SECURED://{LOOPBACK}:{second}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{ports.kafka},SECURED://{LOOPBACK}:{second}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL",
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": str(store),
        "ssl.keystore.password": STORE_PASSWORD,
        "listener.name.secured.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": f'{module} user_shop="{PASSWORD}";',
    }
    settings = directory / "kafka.toml"
    settings.write_text(
        f'[kafka]\nbootstrap_servers = "{LOOPBACK}:{second}"\n[kafka.properties]\n'
        '"security.protocol" = "SASL_SSL"\n"sasl.mechanism" = "PLAIN"\n'
        f'"sasl.jaas.config" = \'{module} username="shop" password="${{env:SHOP_PASSWORD}}";\'\n'
        f'"ssl.truststore.type" = "PEM"\n"ssl.truststore.location" = "{pem}"\n'
    )
    os.environ["SHOP_PASSWORD"] = PASSWORD
    sandbox = Sandbox(directory / "sandbox")
    try:
        sandbox.up(taskmanagers=2, ports=ports, kafka_options=broker)
        yield sandbox, settings
    finally:
        sandbox.down()
        del os.environ["SHOP_PASSWORD"]


def livetower(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The command line, with everything it says in stdout."""
    return subprocess.run(
        [sys.executable, "-m", "livetower.cli", *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


def test_job_and_commands_work_against_a_secured_broker_and_the_password_is_nowhere(secured, tmp_path):
    sandbox, file = secured
    kafka = load_kafka(file)
    told = [f"kafka.properties.{name}={value}" for name, value in kafka.properties.items()]
    said: dict[str, str] = {}
    with RunningJob(sandbox, tmp_path, *told, f"kafka.bootstrap_servers={kafka.bootstrap_servers}") as job:
        catalogue, plays = tmp_path / "items.jsonl", tmp_path / "plays.jsonl"
        catalogue.write_bytes(b"\n".join(orjson.dumps({"item_id": each}) for each in ITEMS))
        plays.write_bytes(
            b"\n".join(
                orjson.dumps({"user_id": f"u{n % 2}", "item_id": ITEMS[n], "event_time_ms": 1_000 * n})
                for n in range(10)
            )
        )
        reach = ["--settings", str(file)]
        to = {name: ["--topic", topic] for name, topic in job.topics.items()}
        said["items"] = run_well("items", str(catalogue), *reach, *to["items"])
        said["replay"] = run_well("replay", str(plays), *reach, *to["interactions"])
        job.wait_for_first_list()
        wait_for("both users' lists", lambda: {"u0", "u1"} <= {each["user_id"] for each in job.lists()})
        lists = ["recommend", "u0", *reach, *to["recommendations"], "--items-topic", job.topics["items"]]
        said["recommend"] = run_well(*lists, "--json")
        said["full_refresh"] = run_well("command", "full_refresh", *reach, *to["commands"])
        refused = livetower(*lists, "--timeout", "5", SHOP_PASSWORD=f"{PASSWORD}-of-yesterday")
        assert refused.returncode == 2, refused.stdout
        said["a wrong password"] = refused.stdout
        said["doctor"] = livetower("doctor", *reach, "--set", f"job.snapshot_root={tmp_path}").stdout
        assert "LT-DOC-301" not in said["doctor"]

        # ---- a user is erased ----
        job.event("erase-u0", "u0", None, event_type="erase")
        job.flush()
        key = b"u0"
        job.topic("recommendations").wait_until(
            "the tombstone", lambda messages: [m for m in messages if m.key() == key][-1].value() is None
        )
        newest = {"topic": job.topics["recommendations"], "properties": librdkafka_properties(kafka)}
        assert find_newest_list(kafka.bootstrap_servers, "u0", **newest) is None
        assert find_newest_list(kafka.bootstrap_servers, "u1", **newest) is not None
        wait_for("the tower's erasure", lambda: job.counter("train-item-tower", "erasures") == 1)
        job.event("back", "u0", ITEMS[0])
        job.flush()
        (again,) = wait_for("a list after the return", lambda: [r for r in values(job) if r["trigger"] == "back"])
        assert again["user_seq"] == 1

        # ---- the password ----
        for path in ("", "/config", "/plan", "/exceptions", "/checkpoints"):
            said[f"REST job{path}"] = str(sandbox.rest(f"/jobs/{job.job_id}{path}"))
        for path in ("/jobmanager/config", "/jobmanager/environment", "/taskmanagers", "/overview"):
            said[f"REST {path}"] = str(sandbox.rest(path))
        for each in sandbox.run_dir.rglob("*"):
            if each.is_file() and each.name != "server.properties" and "kafka/" not in str(each):
                said[str(each)] = each.read_bytes().decode("latin-1")
        assert any(name.endswith("taskmanager-1.log") for name in said)
        assert 'password="${env:SHOP_PASSWORD}"' in file.read_text()
        assert [name for name, text in said.items() if PASSWORD in text] == []


def run_well(*arguments: str) -> str:
    done = livetower(*arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def values(job: RunningJob) -> list[dict]:
    """Every list so far; a tombstone is none."""
    messages = job.topic("recommendations").poll()
    return [orjson.loads(message.value()) for message in messages if message.value() is not None]
