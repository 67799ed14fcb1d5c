"""docs/architecture.md against the code: the files, settings, counters and places that it names."""

import re
import typing
from dataclasses import fields

import pytest
from restricted import ROOT

from flink_jobs.settings import JobSettings

PAGE = (ROOT / "docs" / "architecture.md").read_text()
SECTIONS = typing.get_type_hints(JobSettings)


def test_every_file_that_the_page_names_exists():
    named = set(re.findall(r"`((?:models|operators|flink_jobs|livetower|tests)/[\w/.]+)`", PAGE))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_setting_that_the_page_names_exists():
    named = set(re.findall(rf"`({'|'.join(SECTIONS)})\.([a-z_]+)`", PAGE))
    assert len(named) > 5
    known = {(section, f.name) for section, cls in SECTIONS.items() for f in fields(cls)}
    assert named - known == set()


def test_every_counter_that_the_page_names_is_one_of_an_operator():
    counters = set(re.findall(r"[(`]((?:snapshots?|shed|command)_[a-z]+)`", PAGE))
    code = "".join(file.read_text() for file in (ROOT / "operators").glob("*.py"))
    assert {"snapshots_withheld", "snapshot_fallback", "shed_sampled", "command_failed"} <= counters
    assert [counter for counter in sorted(counters) if f'"{counter}"' not in code] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page):
    for target, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        headings = [heading.lower() for heading in re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)]
        anchors = [re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in anchors, f"{target}#{anchor}"
