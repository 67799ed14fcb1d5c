import hashlib
import re

import pytest

from livetower.sandbox import jars
from livetower.sandbox.errors import SandboxError

COORDINATES = "org.example:thing:1.0"


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """A manifest of one jar whose content is b'right', in a home of its own."""
    monkeypatch.setenv("LIVETOWER_HOME", str(tmp_path))
    monkeypatch.setattr(jars, "MANIFEST", tmp_path / "jars.toml")
    digest = hashlib.sha256(b"right").hexdigest()
    jars.MANIFEST.write_text(f'[flink]\n"{COORDINATES}" = "{digest}"\n[kafka]\n')


class Repository:
    """Stands for jgo: every artifact it is asked for has the same content."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def project(self, _group, _artifact):
        return self

    def at_version(self, _version):
        return self

    def artifact(self):
        return self

    def resolve(self):
        path = jars.jar_path(COORDINATES)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)


def serve(monkeypatch, content: bytes | None) -> None:
    def context():
        assert content is not None, "the network was asked"
        return Repository(content)

    monkeypatch.setattr(jars, "maven_context", context)


def test_every_pinned_jar_has_coordinates_and_a_digest():
    pinned = {name: digest for group in jars.read_manifest().values() for name, digest in group.items()}
    assert all(re.fullmatch(r"[^:]+:[^:]+:[^:]+", name) for name in pinned)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in pinned.values())


def test_the_manifest_holds_every_root():
    manifest = jars.read_manifest()
    assert all(root in manifest[group] for group, roots in jars.ROOTS.items() for root in roots)


@pytest.mark.usefixtures("manifest")
def test_a_jar_that_only_tests_need_is_fetched_when_one_asks_for_it(monkeypatch):
    digest = hashlib.sha256(b"right").hexdigest()
    jars.MANIFEST.write_text(f'[flink]\n[kafka]\n[tests]\n"{COORDINATES}" = "{digest}"\n')
    serve(monkeypatch, b"right")
    jars.fetch_jars()
    assert not jars.jar_path(COORDINATES).exists()
    assert [path.read_bytes() for path in jars.resolved("tests")] == [b"right"]


@pytest.mark.usefixtures("manifest")
def test_a_missing_jar_is_fetched(monkeypatch):
    serve(monkeypatch, b"right")
    assert [path.read_bytes() for path in jars.flink_jars()] == [b"right"]


@pytest.mark.usefixtures("manifest")
def test_nothing_asks_the_network_when_all_jars_are_there(monkeypatch):
    Repository(b"right").resolve()
    serve(monkeypatch, None)
    jars.fetch_jars()


@pytest.mark.usefixtures("manifest")
def test_a_damaged_jar_is_fetched_again(monkeypatch):
    Repository(b"half").resolve()
    serve(monkeypatch, b"right")
    jars.fetch_jars()
    assert jars.jar_path(COORDINATES).read_bytes() == b"right"


@pytest.mark.usefixtures("manifest")
def test_a_jar_with_another_digest_is_refused_and_removed(monkeypatch):
    serve(monkeypatch, b"wrong")
    with pytest.raises(SandboxError, match=r"org.example:thing:1.0: needed sha256"):
        jars.fetch_jars()
    assert not jars.jar_path(COORDINATES).exists()
