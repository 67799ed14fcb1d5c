"""docker/ as the tests read it: the Dockerfile's instructions, compose.yaml, kubernetes.yaml, their Flink options."""

import gzip
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "tests" / "fixtures"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order: name and the rest, continued lines joined, comments left out."""
    text = "\n".join(line for line in (ROOT / "docker" / "Dockerfile").read_text().splitlines() if line[:1] != "#")
    found = [line.partition(" ") for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(name, re.sub(r"\s+", " ", rest).strip()) for name, _, rest in found]


def stage(number: int) -> list[tuple[str, str]]:
    """The instructions of one stage, its FROM included: 1 is the packages, 2 the image."""
    found: list[list[tuple[str, str]]] = [[]]
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found[number]


def arguments() -> dict[str, str]:
    """The defaults of the build arguments."""
    pairs = [rest.partition("=") for name, rest in instructions() if name == "ARG"]
    return {name: value for name, equals, value in pairs if equals}


def image_environment() -> dict[str, str]:
    """What the image's last ENV says."""
    (text,) = [rest for name, rest in stage(2) if name == "ENV"]
    return dict(word.split("=", 1) for word in shlex.split(text))


def compose() -> dict[str, Any]:
    """compose.yaml; ${NAME:-default} is its default."""
    text = (ROOT / "docker" / "compose.yaml").read_text()
    read: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return read


def compose_options() -> dict[str, str]:
    """The Flink options of compose.yaml, read as the image's entry point does: no blanks, the first colon parts."""
    lines = compose()["services"]["jobmanager"]["environment"]["FLINK_PROPERTIES"].splitlines()
    return dict("".join(line.split()).split(":", 1) for line in lines)


def kubernetes() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "kubernetes.yaml").read_text())
    return read


def kubernetes_options() -> dict[str, str]:
    options: dict[str, str] = kubernetes()["spec"]["flinkConfiguration"]
    return options


def application_command() -> list[str]:
    """The words with which compose.yaml starts the JobManager."""
    return shlex.split(compose()["services"]["jobmanager"]["command"])


def fixture(name: str) -> str:
    """A compressed fixture's text."""
    return gzip.decompress((FIXTURES / name).read_bytes()).decode()
