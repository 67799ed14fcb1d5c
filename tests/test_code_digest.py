import shutil
from pathlib import Path

import pytest
from fake_flink import FakeFlink

from operators import code_digest


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the packages whose digest is taken; the digest is computed on the copy."""
    root = Path(code_digest.__file__).parents[1]
    for package in ("models", "operators"):
        shutil.copytree(root / package, tmp_path / package)
    monkeypatch.setattr(code_digest, "__file__", str(tmp_path / "operators" / "code_digest.py"))
    return tmp_path


def test_the_digest_is_that_of_the_code_wherever_it_lies(copy):
    assert code_digest.code_digest() == code_digest.IMPORTED_DIGEST


@pytest.mark.parametrize("file", ["models/recommender.py", "operators/rows.py"])
def test_one_changed_byte_changes_the_digest(copy, file):
    before = code_digest.code_digest()
    (copy / file).write_bytes((copy / file).read_bytes() + b"\n")
    assert code_digest.code_digest() != before


def test_a_renamed_or_new_file_changes_the_digest(copy):
    digests = {code_digest.code_digest()}
    (copy / "models" / "new.py").touch()
    digests.add(code_digest.code_digest())
    (copy / "models" / "new.py").rename(copy / "models" / "newer.py")
    digests.add(code_digest.code_digest())
    assert len(digests) == 3


def test_files_that_are_not_python_do_not_count(copy):
    before = code_digest.code_digest()
    (copy / "models" / "notes.txt").write_text("")
    assert code_digest.code_digest() == before


def test_the_code_that_runs_is_accepted():
    code_digest.require_submitted_code(code_digest.IMPORTED_DIGEST, FakeFlink())
