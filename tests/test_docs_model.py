"""docs/model.md against the code: the functions, settings, constants and sources that it names."""

import ast
import importlib
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from restricted import ROOT

from livetower.settings_table import default_of, written
from models.settings import LOSSES, OPTIMIZERS, ModelSettings, TowerSettings
from models.strategies import PARTS, Strategy

PAGE = (ROOT / "docs" / "model.md").read_text()
BODY, SOURCES = PAGE.split("\n## Sources\n")
SECTIONS = {"model": ModelSettings, "tower": TowerSettings}
FOLDERS = ("models", "operators", "livetower/evaluate", "livetower/evaluate/baselines")

QUOTED = re.compile(r"`([a-z_]+)\.([A-Za-z_.0-9]+)(?: = ([^`]+))?`")
"""`section.setting`, `module.name`, and either with the value that it states."""
CITED = re.compile(r"([A-Z][\w-]+)(?:(?:, | and |, de )[A-Z][\w-]+)*(?: et al\.)? ((?:19|20)\d\d)b?\b")
"""First author and year: Koren, Bell, Volinsky 2009; Kingma and Ba 2015; Hu et al. 2008."""


def quoted() -> list[tuple[str, str, str]]:
    """(module or section, name, stated value or '') of everything that the page quotes."""
    return QUOTED.findall(BODY)


def modules(name: str) -> list[ModuleType]:
    """The modules of this name in the folders that the page speaks of."""
    return [
        importlib.import_module(f"{folder}/{name}".replace("/", "."))
        for folder in FOLDERS
        if (ROOT / folder / f"{name}.py").exists()
    ]


def found(module: str, path: str) -> list[Any]:
    """What a dotted name means, in each module of that name that has it."""
    objects: list[Any] = []
    for start in modules(module):
        here: Any = start
        for part in path.split("."):
            here = getattr(here, part, None)
        if here is not None:
            objects.append(here)
    return objects


def cited_in(text: str) -> set[tuple[str, str]]:
    """(first author, year), without accents, of the sources that a text cites."""
    plain = unicodedata.normalize("NFKD", " ".join(text.split())).encode("ascii", "ignore").decode()
    return set(CITED.findall(plain))


def docstrings(folder: str) -> Iterator[tuple[Path, str]]:
    """Every docstring of a folder's modules, those below constants and fields included."""
    for file in sorted((ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                yield file, str(node.value.value)


def test_every_function_that_the_page_names_exists():
    named = {(module, name) for module, name, _ in quoted() if module not in SECTIONS}
    assert len(named) > 40
    assert [f"{module}.{name}" for module, name in sorted(named) if not found(module, name)] == []


def test_every_constant_has_the_value_that_the_page_states():
    stated = [(module, name, value) for module, name, value in quoted() if module not in SECTIONS and value]
    assert len(stated) > 5
    assert [
        f"{module}.{name} = {value}"
        for module, name, value in stated
        if value not in [repr(it) for it in found(module, name)]
    ] == []


def test_every_setting_that_the_page_names_exists_and_has_the_default_that_it_states():
    named = [(section, name, value) for section, name, value in quoted() if section in SECTIONS]
    assert len(named) > 40
    defaults = {
        (section, name): written(default_of(f)).strip("`")
        for section, cls in SECTIONS.items()
        for name, f in cls.__dataclass_fields__.items()
    }
    assert [f"{section}.{name}" for section, name, _ in named if (section, name) not in defaults] == []
    wrong = [stated for stated in named if stated[2] and stated[2] != defaults[stated[:2]]]
    assert wrong == []
    told = {(section, name) for section, name, value in named if value}
    assert {(section, name) for section, name, _ in named} == told, "a setting is named with its default once at least"


def test_every_source_that_models_cite_is_on_the_page():
    listed = cited_in(SOURCES)
    missing = {f"{file.name}: {source}" for file, text in docstrings("models") for source in cited_in(text) - listed}
    assert missing == set()
    assert len({source for _, text in docstrings("models") for source in cited_in(text)}) > 25


def test_every_source_that_the_page_cites_is_listed_with_its_title_and_the_other_way_round():
    entries = [line for line in SOURCES.splitlines() if line.startswith("- ")]
    assert [line for line in entries if not re.fullmatch(r"- .+? (?:19|20)\d\db?\. .+\. .+\.", line)] == []
    assert len(cited_in(SOURCES)) == len({re.sub(r"(\d{4})b", r"\1", line.split(". ")[0]) for line in entries})
    assert cited_in(BODY) == cited_in(SOURCES)


@pytest.mark.parametrize("name", [*LOSSES, *OPTIMIZERS, *Strategy, *PARTS])
def test_every_loss_optimiser_strategy_and_part_of_the_score_has_a_row(name):
    assert re.search(rf"^\| `{name}` \| .+", BODY, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("as Koren, Bell, Volinsky 2009 does", {("Koren", "2009")}),
        ("(Lops, de Gemmis, Semeraro 2011)", {("Lops", "2011")}),
        ("Frigó, Pálovics et al. 2017; (Kingma and Ba 2015, algorithm 1)", {("Frigo", "2017"), ("Kingma", "2015")}),
        ("milliseconds since 1970, in the year 10889", set()),
    ],
)
def test_a_citation_is_an_author_and_a_year(text, sources):
    assert cited_in(text) == sources
