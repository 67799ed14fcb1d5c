import re
import sys
import typing
from dataclasses import dataclass, fields

import pytest
from restricted import ROOT, run

from flink_jobs.settings import JobSettings, load_settings
from livetower.settings_table import section_table, settings_page

PAGE = ROOT / "docs" / "settings.md"
ROW = re.compile(r"^\| `([a-z]+)\.([a-z_]+)(?:\.KEY)?` \| (.+?) \| (.+) \|$", re.MULTILINE)


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == settings_page(), "python -m livetower.settings_table > docs/settings.md"


def test_the_command_prints_the_page():
    assert run([sys.executable, "-m", "livetower.cli", "settings"]).stdout == settings_page()


def test_every_setting_has_a_row_of_its_own():
    settings = [(section, f.name) for section, cls in typing.get_type_hints(JobSettings).items() for f in fields(cls)]
    assert [(section, name) for section, name, _, _ in ROW.findall(settings_page())] == settings


def test_every_default_shown_is_the_default_as_set_takes_it():
    root = "job.snapshot_root=/snapshots"
    plain = load_settings(None, [root])
    shown = [
        f"{section}.{name}={default.strip('`')}"
        for section, name, default, _ in ROW.findall(settings_page())
        if default.startswith("`")
    ]
    assert load_settings(None, [root, *shown]) == plain
    unshown = {name for _, name, default, _ in ROW.findall(settings_page()) if not default.startswith("`")}
    assert unshown == {"properties", "admin_properties", "snapshot_root", "pin_snapshot", "start_tower", "suspend_file"}


@dataclass(frozen=True)
class Explained:
    """Two of them."""

    size: int = 3
    """How many | at most,
    on two lines."""
    colour: str = ""
    """Any."""


@dataclass(frozen=True)
class Unexplained:
    """One without a word."""

    size: int = 3


def test_a_docstring_on_two_lines_is_one_cell():
    rows = section_table("box", Explained).splitlines()[-2:]
    assert rows == [r"| `box.size` | `3` | How many \| at most, on two lines. |", "| `box.colour` | empty | Any. |"]


def test_a_setting_without_a_docstring_is_refused():
    with pytest.raises(LookupError, match=r"Unexplained\.size has no docstring"):
        section_table("box", Unexplained)
