"""Every setting of the job as Markdown, from their dataclasses and the docstrings of their fields.

    python -m livetower.settings_table > docs/settings.md      # after a change; a test compares the two

The fields are in flink_jobs/settings.py and models/settings.py; how a value is read is flink_jobs/settings.py's.
"""

import ast
import inspect
import textwrap
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from flink_jobs.settings import JobSettings

HEAD = """\
# Settings

Give them to `livetower submit`, or to the job itself: `--set section.name=value`, as often as needed, or a TOML file
with these sections, `--settings FILE.toml`; `--set` wins. An unknown name, a value of another type and one out of range
are refused, with what was needed. The sandbox sets `kafka.bootstrap_servers` and `job.snapshot_root` by itself.

This page is written by `python -m livetower.settings_table > docs/settings.md`.
"""


def settings_page() -> str:
    """Return the page: a table for each section, a row for each setting.

    Raises LookupError for a field without a docstring.
    """
    sections = typing.get_type_hints(JobSettings).items()
    return HEAD + "".join(section_table(name, cls) for name, cls in sections)


def section_table(section: str, cls: type) -> str:
    """Return the table of one settings dataclass, under its name and its docstring."""
    meanings = field_docstrings(cls)
    lines = [
        "",
        f"## {section}",
        "",
        inspect.getdoc(cls) or "",
        "",
        "| name | default | meaning |",
        "| --- | --- | --- |",
    ]
    for f in fields(cls):
        if f.name not in meanings:
            raise LookupError(f"{cls.__name__}.{f.name} has no docstring: say in {inspect.getfile(cls)} what it means")
        default = default_of(f)
        name = f"{section}.{f.name}" + (".KEY" if isinstance(default, Mapping) else "")
        meaning = " ".join(meanings[f.name].split()).replace("|", r"\|")
        lines.append(f"| `{name}` | {written(default)} | {meaning} |")
    return "\n".join(lines) + "\n"


def field_docstrings(cls: type) -> dict[str, str]:
    """Return the string that stands below each field of a class, or member of an enumeration, by its name."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for before, after in zip(tree.body[:-1], tree.body[1:], strict=True):
        targets = before.targets if isinstance(before, ast.Assign) else [getattr(before, "target", None)]
        if isinstance(targets[0], ast.Name) and isinstance(after, ast.Expr):
            found[targets[0].id] = ast.literal_eval(after.value)
    return found


def default_of(f: "Field[Any]") -> Any:
    """Return a field's default. Raises LookupError when it has none: every setting has one, be it an empty text."""
    if f.default is not MISSING:
        return f.default
    if f.default_factory is not MISSING:
        return f.default_factory()
    raise LookupError(f"setting {f.name} has no default")


def written(default: object) -> str:
    """Return a default as `--set` takes it.

    >>> written("interactions"), written(0.05), written((50.0, 1e7)), written(""), written({})
    ('`interactions`', '`0.05`', '`[50.0, 10000000.0]`', 'empty', 'none')
    >>> written({"view": 1.0, "skip": -0.5})
    '`{view = 1.0, skip = -0.5}`'
    """
    if isinstance(default, Mapping):
        return "none" if not default else f"`{{{', '.join(f'{key} = {value}' for key, value in default.items())}}}`"
    if isinstance(default, tuple):
        return f"`{list(default)}`"
    return f"`{default}`" if default != "" else "empty"


if __name__ == "__main__":
    print(settings_page(), end="")
