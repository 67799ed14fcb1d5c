"""A new user's tour, from the documentation only: demo, own data, a consumer, an upgrade, the way back.

Every command is read from the pages in docs/ and runs in a fresh clone, in a bare environment. Packages and jars are
those of this tree (tests/test_setup.py and tests/test_sandbox_jars.py test how they come). The log is
LIVETOWER_HOME/tour.log.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from marked_blocks import marked_blocks
from restricted import ROOT
from running_job import wait_for
from terminal import Terminal, bare_environment

from livetower.operations.flink_job import the_job
from livetower.operations.job_record import record_of
from livetower.sandbox import Sandbox
from livetower.sandbox.home import livetower_home

pytestmark = pytest.mark.flink
PAGES = ("tutorial", "own-data", "consuming", "operations")


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A fresh clone that is set up, with nothing running in it, before or after."""
    folder = tmp_path / "livetower"
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    for file in ("requirements.txt", "requirements-cuda.txt", "pyproject.toml"):
        assert (folder / file).read_bytes() == (ROOT / file).read_bytes(), f"{file}: commit it, or it is not in a clone"
    (folder / ".venv").mkdir()
    for each in venv().iterdir():
        if not each.name.startswith("ready-"):
            (folder / ".venv" / each.name).symlink_to(each)
    home = folder / ".livetower"
    (home / "demo").mkdir(parents=True)
    (home / "jars").symlink_to((livetower_home() / "jars").resolve())
    if (data := livetower_home() / "demo" / "movielens").exists():
        (home / "demo" / "movielens").symlink_to(data.resolve())
    (folder / stamp(folder)).touch()
    try:
        yield folder
    finally:
        for run_dir in (home / "demo" / "sandbox", home / "sandbox"):
            Sandbox(run_dir).down()


def venv() -> Path:
    """The environment that these tests run in."""
    return Path(sys.prefix)


def stamp(folder: Path) -> str:
    """The file by which make knows that a clone is set up."""
    rules = subprocess.run(["make", "-pn", "help"], cwd=folder, capture_output=True, text=True, check=True).stdout
    (name,) = re.findall(r"^STAMP := (\S+)$", rules, re.MULTILINE)
    return name


def users_in(printed: Path) -> set[str]:
    """Whose lists the consumer of docs/ has printed."""
    return set(re.findall(r"^(visitor-\d+): ", printed.read_text(), re.MULTILINE))


class Tour:
    """The marked blocks of the pages, each to be run once, in its page's order."""

    def __init__(self, clone: Path) -> None:
        self.left = {page: marked_blocks(clone / "docs" / f"{page}.md") for page in PAGES}
        # The console scripts of .venv are those of this tree: PYTHONPATH makes them run the clone's code.
        environment = bare_environment(clone.parent) | {"PYTHONPATH": str(clone)}
        self.terminal = Terminal(clone, environment, livetower_home() / "tour.log")
        self.sandbox = Sandbox(clone / ".livetower" / "sandbox")

    def block(self, page: str, mark: str) -> str:
        """The page's next block, which must have this mark."""
        assert next(iter(self.left[page])) == mark
        # The pages say to take the address that `up` has printed if it is another.
        block = self.left[page].pop(mark)
        return block.replace("localhost:9092", self.sandbox.bootstrap_servers) if "localhost" in block else block

    def run(self, page: str, mark: str) -> str:
        return self.terminal.run(f"{page}: {mark}", self.block(page, mark))

    def repeat(self, page: str, mark: str, shows: Callable[[str], bool]) -> str:
        """Run a block again and again until what it shows is there: its last line asks for what comes soon."""
        block = self.block(page, mark)
        return wait_for(mark, lambda: shows(seen := self.terminal.run(f"{page}: {mark}", block, strict=False)) and seen)

    def save(self, page: str, file: str) -> None:
        (self.terminal.folder / file).write_text(self.block(page, f"save {file}"))

    def read_lists(self, page: str, mark: str, *users: str) -> set[str]:
        """Run a consumer in a second terminal until it has printed these users' lists; return all whom it printed."""
        with self.terminal.beside(f"{mark}", self.block(page, mark)) as printed:
            wait_for(f"lists of {users}", lambda: set(users) <= users_in(printed))
        (count,) = re.findall(r"^stopped; (\d+) users", printed.read_text(), re.MULTILINE)
        assert len(users_in(printed)) == int(count)
        return users_in(printed)

    def code(self) -> str:
        """The digest of the code that the running job was submitted with."""
        return record_of(the_job(self.sandbox.rest_url, None).facts()).code


def facts_of(printed: str) -> dict[str, int]:
    """What the tour looks at in the record that `livetower recommend --json` has printed last."""
    record = json.loads(printed.splitlines()[-1])
    return {"user_seq": record["user_seq"], "epoch": record["snapshot"]["epoch"], "items": len(record["items"])}


def test_a_new_user_gets_through_the_documentation(clone):
    tour = Tour(clone)
    shown = tour.run("tutorial", "demo")
    assert re.search(r"^events +2,000 sent, 2,000 answered", shown, re.MULTILINE)
    demo = Sandbox(clone / ".livetower" / "demo" / "sandbox")
    assert len(demo.unfinished_jobs()) == 1  # it goes on running
    tour.run("tutorial", "demo-down")
    assert demo.running() == {}

    tour.save("tutorial", "make_data.py")
    tour.run("tutorial", "data")
    tour.run("tutorial", "evaluate")
    tour.run("tutorial", "own")
    tour.repeat("tutorial", "list", lambda shown: shown.count("Crime no. ") > shown.count("Comedy no. "))
    with tour.terminal.beside("watch", tour.block("tutorial", "watch")) as printed:
        wait_for("the watch", lambda: "visitor-0" in printed.read_text() or "events/s" in printed.read_text())
        shown = tour.run("tutorial", "today")
        wait_for("the followed user", lambda: "user visitor-0: " in printed.read_text())
    assert "Comedy no. " in shown
    every = {f"visitor-{n}" for n in range(120)}
    assert tour.read_lists("tutorial", "consumer", *every) == every

    tour.save("own-data", "visits.csv")
    tour.run("own-data", "mapped")
    assert tour.read_lists("consuming", "group", "visitor-7", "visitor-8") == every

    before = tour.code()
    dry = tour.run("operations", "change")
    assert re.findall(r"^(code|setting|uid|blob version) ", dry, re.MULTILINE) == ["code"]
    tour.run("operations", "upgrade")
    assert tour.code() != before
    # Visitor 0 has 15 plays, and today's 5.
    tour.repeat("operations", "upgraded", lambda shown: facts_of(shown) == {"user_seq": 21, "epoch": 0, "items": 5})
    tour.run("operations", "rollback")
    wait_for("the new epoch", lambda: list(tour.sandbox.snapshot_root.glob("full-1-*")))
    tour.repeat("operations", "rolled-back", lambda shown: facts_of(shown) == {"user_seq": 22, "epoch": 1, "items": 5})
    tour.run("operations", "back")
    assert tour.code() == before
    tour.repeat("operations", "gone-back", lambda shown: facts_of(shown) == {"user_seq": 22, "epoch": 0, "items": 10})

    tour.run("tutorial", "down")
    assert tour.sandbox.running() == {}
    assert {page: list(left) for page, left in tour.left.items()} == {page: [] for page in PAGES}
