"""The blocks of a page of docs/ that have a mark before them, an HTML comment that readers do not see.

`<!-- tour: NAME -->` marks commands to run, `<!-- tour: save FILE -->` a file to save.
"""

import re
from pathlib import Path

MARKED = re.compile(r"^<!-- tour: ([^>]+) -->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def marked_blocks(page: Path) -> dict[str, str]:
    """Marks and blocks in the page's order; of console blocks the commands without their prompts and answers.

    A line that ends in a backslash goes on in the next.
    """
    text = page.read_text()
    found = MARKED.findall(text)
    assert len(found) == text.count("<!-- tour:"), f"{page.name}: a mark has no block right below it"
    assert len({mark for mark, _ in found}) == len(found), f"{page.name}: a mark comes twice"
    return {mark: block if mark.startswith("save ") else commands(block) for mark, block in found}


def commands(block: str) -> str:
    """What a console block tells to type."""
    typed = [line.removeprefix("$ ") for line in block.replace("\\\n", "").splitlines() if line.startswith("$ ")]
    return "\n".join(typed)
