"""The jars that no wheel brings: the Kafka connector for Flink, and the Kafka broker with all it needs.

`jars.toml` names every jar with its sha256. They are resolved with jgo, in Python alone, into LIVETOWER_HOME/jars; when
all are there, nothing asks the network.

    livetower jars          # fetch what is missing, check every digest
    livetower jars --pin    # resolve ROOTS anew and rewrite jars.toml
"""

import hashlib
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from livetower.preflight import without_classes
from livetower.sandbox.capacity import require_writable
from livetower.sandbox.errors import SandboxError
from livetower.sandbox.home import livetower_home

if TYPE_CHECKING:
    from jgo.maven import MavenContext

MANIFEST = Path(__file__).with_name("jars.toml")
ROOTS = {
    # Flink 2.2.1 and this connector are the pair that was proven together; the jar is shaded, so it stands alone.
    "flink": ["org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2"],
    "kafka": ["org.apache.kafka:kafka_2.13:4.1.1"],
    # Flink's own reader of states, which tests compare `livetower inspect` with; nothing that runs needs it.
    "tests": ["org.apache.flink:flink-state-processor-api:2.2.0"],
}
ALONE = ("flink", "tests")  # the groups whose transitive dependencies are inside their jars, or in Flink itself
RUN = ("flink", "kafka")  # the groups that are fetched without being asked for


def flink_jars() -> list[Path]:
    """Return the jars that belong into Flink's lib directory, fetching them when they are missing."""
    return resolved("flink")


def kafka_jars() -> list[Path]:
    """Return the broker's class path, fetching it when it is missing."""
    return resolved("kafka")


def resolved(group: str) -> list[Path]:
    """Return the local paths of a group's jars, in the manifest's order; fetch first what is missing."""
    paths = {coordinates: jar_path(coordinates) for coordinates in read_manifest()[group]}
    if not all(path.exists() for path in paths.values()):
        fetch_jars([*RUN, group])
    return list(paths.values())


def read_manifest() -> dict[str, dict[str, str]]:
    """Return group → {group:artifact:version: sha256}."""
    return tomllib.loads(MANIFEST.read_text())


def repository() -> Path:
    """Return the directory of the jars, laid out as a Maven repository."""
    return livetower_home() / "jars"


def jar_path(coordinates: str) -> Path:
    """Return where the jar of these coordinates lies or will lie."""
    group, artifact, version = coordinates.split(":")
    return repository().joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def fetch_jars(groups: Iterable[str] = RUN) -> None:
    """Fetch every jar of some groups that is missing, check every digest, and show progress.

    A jar whose digest differs is fetched once more (a broken download). Raises SandboxError when it differs again, when
    no network answers, or when nothing can be written there.
    """
    manifest = read_manifest()
    pinned = {coordinates: digest for group in groups for coordinates, digest in manifest[group].items()}
    missing = [c for c, digest in pinned.items() if not jar_path(c).exists() or sha256_of(jar_path(c)) != digest]
    if not missing:
        return
    require_writable(repository())
    maven = maven_context()
    with ThreadPoolExecutor(max_workers=8) as pool:
        downloads = {pool.submit(fetch_jar, maven, c, pinned[c]): c for c in missing}
        try:
            for number, download in enumerate(as_completed(downloads), start=1):
                download.result()
                print(f"jar {number:2} of {len(missing)}: {downloads[download]}", flush=True)
        except SandboxError:
            pool.shutdown(wait=False, cancel_futures=True)  # without a network each of the others waits for its own end
            raise


def fetch_jar(maven: "MavenContext", coordinates: str, digest: str) -> None:
    """Fetch one jar and check its digest. Raises SandboxError that says why there is none."""
    from requests.exceptions import ConnectionError as NoAnswer
    from requests.exceptions import Timeout

    path = jar_path(coordinates)
    path.unlink(missing_ok=True)
    group, artifact, version = coordinates.split(":")
    try:
        maven.project(group, artifact).at_version(version).artifact().resolve()
    except (OSError, RuntimeError) as error:  # those of requests, which jgo uses, are OSErrors
        path.unlink(missing_ok=True)
        if isinstance(error, NoAnswer | Timeout):
            cause = without_classes(str(error).rpartition("Caused by ")[2])
            raise SandboxError(
                f"no Maven repository answers for {coordinates} ({cause}): connect to a network, or set HTTPS_PROXY"
            ) from error
        raise SandboxError(f"could not fetch {coordinates}: {error}; try again with `livetower jars`") from error
    if (actual := sha256_of(path)) != digest:
        path.unlink()
        raise SandboxError(f"{coordinates}: needed sha256 {digest} (jars.toml), got {actual}; not kept")


def maven_context() -> "MavenContext":
    """Return jgo's view of Maven Central with our own cache directory."""
    import truststore

    # The operating system's certificates: with its own bundle, `requests` fails behind a proxy that has one of its own.
    truststore.inject_into_ssl()
    from jgo.maven import MavenContext, PythonResolver

    return MavenContext(resolver=PythonResolver(), repo_cache=repository(), timeout=60)


def sha256_of(path: Path) -> str:
    """Return the file's digest in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pin_jars() -> None:
    """Resolve ROOTS with their runtime dependencies and rewrite the manifest."""
    maven = maven_context()
    lines = ["# Every jar that is fetched, with its sha256. Written by: livetower jars --pin"]
    for group, roots in ROOTS.items():
        dependencies = [maven.create_dependency(root) for root in roots]
        if group not in ALONE:
            dependencies += maven.resolver.resolve(dependencies)[1]
        artifacts = {f"{d.groupId}:{d.artifactId}:{d.version}": d.artifact for d in dependencies}
        lines += ["", f"[{group}]"]
        lines += [f'"{name}" = "{sha256_of(artifact.resolve())}"' for name, artifact in sorted(artifacts.items())]
    MANIFEST.write_text("\n".join(lines) + "\n")
