"""docs/operations.md names what there is: commands, settings that must stay, files."""

import re

from restricted import ROOT

from livetower.cli import main
from livetower.operations import command
from livetower.operations.differences import MUST_STAY
from livetower.operations.job_record import BESIDE
from livetower.operations.snapshot_copies import FOLDER

PAGE = (ROOT / "docs" / "operations.md").read_text()


def test_every_operation_has_a_section_and_every_section_an_operation():
    operations = ["savepoint", "stop", "resume", "upgrade", "rescale", "rollback"]
    assert re.findall(r"^## livetower (\w+)$", PAGE, re.MULTILINE) == operations
    assert main.commands.keys() >= set(operations)


def test_every_option_it_names_exists():
    named = set(re.findall(r"(--[a-z][a-z-]*)", PAGE))
    operations = [command.savepoint, command.stop, command.resume, command.upgrade, command.rescale, command.rollback]
    options = {option for each in operations for parameter in each.params for option in parameter.opts}
    assert named <= options


def test_every_setting_that_must_stay_is_named():
    (row,) = re.findall(r"^\| setting \| (.*) \|$", PAGE, re.MULTILINE)
    assert "the topic of a source" in row
    assert {name for name in MUST_STAY if not name.startswith("topics.")} == set(re.findall(r"`([a-z._]+)`", row))


def test_the_files_beside_a_savepoint_are_named():
    assert f"`{BESIDE}`" in PAGE
    assert f"`{FOLDER}/`" in PAGE


def test_every_file_it_links_exists():
    assert all((ROOT / "docs" / link).exists() for link in re.findall(r"\]\(([^)#]+)\)", PAGE))
