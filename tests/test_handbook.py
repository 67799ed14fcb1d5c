"""The handbook: reference pages are what the code says, what pages tell to type exists, the site builds strictly."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner
from fake_flink import FakeFlink
from fake_producer import Producer
from restricted import ROOT

from flink_jobs.settings import JobSettings, load_settings
from livetower.cli import main
from livetower.consume import SCHEMAS, read_schema
from livetower.reference import bounds, codes, commands, metrics, records
from livetower.replay import kafka
from models.records import Reason
from models.settings import ModelSettings, TowerSettings
from operators.learn_and_recommend import LearnAndRecommend
from operators.train_item_tower import TrainItemTower

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
REFERENCE = {
    "commands": commands.commands_page,
    "records": records.records_page,
    "metrics": metrics.metrics_page,
    "codes": codes.codes_page,
    "bounds": bounds.bounds_page,
}
DOMAINS = sorted((DOCS / "settings-for").glob("*.toml"))


# ---- reference -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFERENCE)
def test_a_reference_page_is_what_the_code_says(name):
    command = f"python -m livetower.reference.{name} > docs/{name}.md"
    assert (DOCS / f"{name}.md").read_text() == REFERENCE[name](), command
    assert f"`{command}`" in (DOCS / f"{name}.md").read_text()


def test_every_command_has_its_help_on_the_page():
    names = {name for name in main.commands if not isinstance(main.commands[name], click.Group)}
    headings = set(re.findall(r"^## livetower ([\w -]+)$", commands.commands_page(), re.MULTILINE))
    assert names <= headings
    assert {"command rollback", "command full_refresh"} <= headings


def test_every_schema_has_a_section_and_every_field_a_row():
    assert set(records.TOPICS) == set(SCHEMAS)
    for name in SCHEMAS:
        section = records.record_section(name, records.TOPICS[name])
        assert [field for field in read_schema(name)["properties"] if f"| `{field}` |" not in section] == []


def test_every_reason_is_explained():
    page = codes.codes_page()
    assert [reason for reason in Reason if not re.search(rf"^\| `{reason}` \| .+\. \|$", page, re.MULTILINE)] == []


def test_every_code_that_is_said_is_explained():
    said = {
        code
        for folder in ("operators", "livetower/inspect")
        for file in (ROOT / folder).glob("*.py")
        if file.name != "codes.py"
        for code in re.findall(r"\bLT-[A-Z]+-\d+\b", file.read_text())
    }
    assert {"LT-GATE-1", "LT-INS-201"} <= said
    explained = set(re.findall(r"^\| `(LT-[A-Z]+-\d+)` \|", codes.codes_page(), re.MULTILINE))
    assert sorted(said - explained) == []


class Registered(FakeFlink):
    """Remembers the names that an operator asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def counter(self, name: str) -> object:
        self.names.append(name)
        return super().counter(name)


def test_the_counters_in_a_docstring_are_those_that_the_operator_registers(tmp_path, monkeypatch):
    root = {"snapshot_root": str(tmp_path), "code_digest": ""}
    operators = [LearnAndRecommend(ModelSettings(), **root), TrainItemTower(ModelSettings(), TowerSettings(), **root)]
    for operator in operators:
        module = sys.modules[type(operator).__module__]
        for name in ("require_submitted_code", "compile_user_side", "compile_tower", "go_first", "give_way",
                     "keep_out_of_garbage_collection"):  # fmt: skip
            monkeypatch.setattr(module, name, lambda *_: None, raising=False)
        context = Registered()
        operator.open(context)
        assert sorted(metrics.documented_metrics(type(operator))) == sorted(context.names)


# ---- what pages tell to type ---------------------------------------------------------------------


def typed_lines(page: Path) -> Iterator[str]:
    """The `livetower …` commands in the console blocks of a page and in its code spans, joined over line ends."""
    text = page.read_text()
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", "").splitlines():
            if line.startswith("$ livetower "):
                yield line.removeprefix("$ ")
    for span in re.findall(r"`(livetower [a-z][^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        yield " ".join(span.split())


def unknown_words(line: str) -> list[str]:
    """The commands and options of a line that Livetower does not have."""
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "…"]
    here: click.Command = main
    while isinstance(here, click.Group) and words and words[0] not in ("COMMAND", "--help"):
        if (found := here.get_command(click.Context(here), words[0])) is None:
            return words[:1]
        here = found
        del words[0]
    known = {option for parameter in here.params for option in parameter.opts} | {"--help"}
    if here.name == "submit":  # the rest goes to the job
        known |= {"--settings", "--set", "--pin-snapshot"}
    return [word for word in words if word.startswith("--") and word.split("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_that_a_page_names_exists(page):
    assert {line: unknown for line in typed_lines(page) if (unknown := unknown_words(line))} == {}


def test_the_commands_of_the_tutorial_are_found_to_be_tested():
    lines = list(typed_lines(DOCS / "tutorial.md"))
    assert {line.split()[1] for line in lines} >= {"evaluate", "up", "submit", "items", "replay", "recommend", "why"}
    assert unknown_words("livetower replay plays.csv --sped 2") == ["--sped"]
    assert unknown_words("livetower repaly plays.csv") == ["repaly"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the tutorial's Python has run."""
    folder = tmp_path_factory.mktemp("tutorial")
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "tutorial.md").read_text(), re.DOTALL)
    subprocess.run([sys.executable, "-c", block], cwd=folder, check=True)
    return folder


def test_the_tutorials_shop_is_ranked_far_better_than_by_popularity(shop):
    result = CliRunner().invoke(main, ["evaluate", str(shop / "plays.csv"), "--json"])
    assert result.exit_code == 0, result.output
    found = orjson.loads(result.stdout)
    assert found["hit_at_10"] > 1.3 * found["popularity_hit_at_10"], found


def test_the_tutorials_items_and_replays_send_every_row(shop, monkeypatch):
    producers: list[Producer] = []

    def open_producer(*_: object) -> Producer:
        producers.append(Producer())
        return producers[-1]

    monkeypatch.setattr(kafka, "topic_id", lambda *_: "first")
    monkeypatch.setattr(kafka, "open_producer", open_producer)
    monkeypatch.chdir(shop)
    sent = {}
    for line in typed_lines(DOCS / "tutorial.md"):
        words = shlex.split(line)[1:]
        if words[0] in ("items", "replay"):
            words = [word for word in words if word not in ("--rate", "1")]  # a second a row is for people
            result = CliRunner().invoke(main, [*words, "--bootstrap-servers", "kafka-1:9092"])
            assert result.exit_code == 0, result.output
            sent[words[1]] = [orjson.loads(value) for _, value, _ in producers[-1].sent]
    assert {file: len(values) for file, values in sent.items()} == {
        "films.csv": 80,
        "plays.csv": 120 * 15,
        "today.csv": 5,
    }
    assert (
        sent["films.csv"][0] | {"title": "Crime no. 0", "tags": ["crime"], "numbers": {"year": 1980}}
        == (sent["films.csv"][0])
    )
    assert {value["user_id"] for value in sent["today.csv"]} == {"visitor-0"}


# ---- settings for a domain -----------------------------------------------------------------------


@pytest.mark.parametrize("file", DOMAINS, ids=lambda file: file.stem)
def test_the_settings_for_a_domain_load_and_every_one_differs_from_the_default_for_a_reason(file):
    root = ["job.snapshot_root=/snapshots"]
    settings, default = load_settings(file, root), load_settings(None, root)
    assert isinstance(settings, JobSettings)
    assert settings != default
    text = file.read_text()
    assert text.startswith("# ")
    for line in re.findall(r"^(?!#|\[|$).*", text, re.MULTILINE):
        assert re.match(r"[a-z_]+ = ", line), line


def test_there_are_settings_for_four_domains_and_the_page_shows_each():
    page = (DOCS / "settings-for.md").read_text()
    assert [file.stem for file in DOMAINS] == ["finance", "health", "shop", "video"]
    assert [file.name for file in DOMAINS if f'--8<-- "settings-for/{file.name}"' not in page] == []


# ---- the site ------------------------------------------------------------------------------------


def build(site: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    """Build the handbook as `make check` does, with some pages changed."""
    folder = site.parent / "clone"
    folder.mkdir()
    for name in ROOT.iterdir():
        if name.name not in ("docs", ".git"):
            (folder / name.name).symlink_to(name)
    (folder / "docs").mkdir()
    for file in DOCS.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            copy = folder / file.relative_to(ROOT)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(file.read_bytes())
    for name, text in changed.items():
        (folder / "docs" / f"{name}.md").write_text(text)
    (line,) = re.findall(r"-m mkdocs (build .*?) --site-dir", (ROOT / "Makefile").read_text())
    command = [sys.executable, "-m", "mkdocs", *line.split(), "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_site_builds_strictly_with_every_page(tmp_path):
    result = build(tmp_path / "site")
    assert result.returncode == 0, result.stderr
    built = {file.stem for file in (tmp_path / "site").glob("*.html")} - {"404"}
    assert built == {page.stem for page in DOCS.glob("*.md")}
    assert "docker/Dockerfile</code>" in (tmp_path / "site" / "deployment.html").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# A\n[b](no-such-page.md)", "no-such-page.md"),
        ("# A\n[b](index.md#no-such-heading)", "no-such-heading"),
        ("# A\n[b](../no/such/file.py)", "no/such/file.py"),
    ],
)
def test_a_link_that_leads_nowhere_ends_the_build(tmp_path, text, said):
    result = build(tmp_path / "site", tutorial=text)
    assert result.returncode != 0
    assert said in result.stderr


def test_a_page_that_nobody_reaches_ends_the_build(tmp_path):
    result = build(tmp_path / "site", forgotten="# A")
    assert result.returncode != 0
    assert "forgotten.md" in result.stderr
