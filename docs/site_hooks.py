"""What MkDocs calls for each page (mkdocs.yml): links to files of the repository, which a site of docs/ cannot reach,
become the files' names.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Name the file instead of linking to it. Raises PluginError, which ends the build, for one that is not there."""

    def named(link: re.Match[str]) -> str:
        words, path = link.groups()
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_uri} links to ../{path}, which is not in the repository")
        name = f"`{path}`"
        return name if words.strip("`") in path else f"{words} ({name})"

    return OUTSIDE.sub(named, markdown)
