"""The rule that keeps equal events equal in every process: kernels are made of parts, never of other kernels."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.registry import CPUDispatcher

import models
from models.kernels import sources_digest

ROOT = Path(models.__file__).parents[1]
DIGEST = """
import hashlib
from worlds import EventType, event, item_table
from models.recommender import advance
from models.settings import ModelSettings
from models.user_state import encode_user_state
digest, states = hashlib.sha256(), {}
table = item_table(200, dimension=64)
for n in range(600):
    user = f"u{n * 7 % 20}"
    e = event(n, f"i{n * n % 200}", user=user)
    result = advance(states.get(user), e, table, e.event_time_ms, ModelSettings())
    states[user] = result.state
    digest.update(encode_user_state(result.state) + repr(result.recommendation).encode())
print(digest.hexdigest())
"""


def kernels() -> dict[str, CPUDispatcher]:
    """Every compiled function of models/ by module and name."""
    found = {}
    for file in sorted((ROOT / "models").glob("*.py")):
        module = __import__(f"models.{file.stem}", fromlist=["_"])
        for name, value in vars(module).items():
            if isinstance(value, CPUDispatcher) and value.py_func.__module__ == module.__name__:
                found[f"{module.__name__}.{name}"] = value
    return found


def is_cached(kernel: CPUDispatcher) -> bool:
    return type(kernel._cache).__name__ != "NullCache"


@pytest.mark.parametrize("name", kernels())
def test_what_a_kernel_calls_is_a_part(name: str) -> None:
    kernel = kernels()[name]
    called = [kernel.py_func.__globals__.get(other) for other in kernel.py_func.__code__.co_names]
    assert not [c.py_func.__name__ for c in called if isinstance(c, CPUDispatcher) and is_cached(c)]


@pytest.mark.parametrize("name", kernels())
def test_a_function_is_a_cached_kernel_or_a_part_that_is_always_inlined(name: str) -> None:
    kernel = kernels()[name]
    assert is_cached(kernel) != bool(kernel.targetoptions.get("forceinline"))


def test_a_process_that_compiles_and_one_that_loads_learn_the_same_bits(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}

    def digest() -> str:
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert not list(tmp_path.rglob("*.nbi"))
    compiled = digest()
    assert list(tmp_path.rglob("*.nbi"))
    assert digest() == compiled


def test_a_part_that_changes_in_another_file_than_its_kernels_makes_another_cache(tmp_path: Path) -> None:
    for name, text in {"kernels.py": "", "a.py": "from models.kernels import part", "b.py": "x = 1"}.items():
        (tmp_path / name).write_text(text)
    before = sources_digest(tmp_path)
    (tmp_path / "b.py").write_text("x = 2")
    assert sources_digest(tmp_path) == before
    (tmp_path / "a.py").write_text("from models.kernels import part  # changed")
    assert sources_digest(tmp_path) != before


def test_the_cache_lies_below_that_name(tmp_path: Path) -> None:
    program = "import models.kernels; from numba.core import config; print(config.CACHE_DIR)"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert said == str(tmp_path / sources_digest(ROOT / "models"))
