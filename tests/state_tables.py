"""Decodes bytes by the tables of docs/state.md, and knows nothing else of them: what a reader in another language does."""

import re
import struct
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[1] / "docs" / "state.md").read_text()
HEAD = "| offset | field | type | count | only if | meaning |"
CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q", "f32": "f", "f64": "d"}


def tables_under(heading: str, head: str = HEAD) -> list[list[list[str]]]:
    """The cells of every table with this head in a section of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = []
    for body in section.split(head + "\n")[1:]:
        lines = body.split("\n\n")[0].splitlines()[1:]
        found.append([[cell.strip() for cell in line.strip("|").split("|")] for line in lines])
    assert found, heading
    return found


def decode(table: list[list[str]], blob: bytes, **known: int) -> dict[str, Any]:
    """Name → value of every field: a number, or a list of them when the count is not 1; text or bytes."""
    values: dict[str, Any] = dict(known)
    at = 0
    for offset, name, kind, count, condition, _ in table:
        if condition:
            other, wanted = condition.split(" = ")
            if values[other] != int(wanted):
                continue
        assert offset in ("", str(at)), (name, offset, at)
        n = len(blob) - at if count == "rest" else number_of(count, values)
        if kind in ("bytes", "text"):
            raw, at = blob[at : at + n], at + n
            assert len(raw) == n, name
            values[name] = raw.decode() if kind == "text" else raw
            continue
        if kind == "varint":
            numbers, at = varints(blob, at, n)
        else:
            code = (">" if kind.endswith(" be") else "<") + f"{n}{CODES[kind.removesuffix(' be')]}"
            numbers = list(struct.unpack_from(code, blob, at))
            at += struct.calcsize(code)
        values[name] = numbers[0] if count == "1" else numbers
    assert at == len(blob), f"{len(blob) - at} bytes are in no row of the table"
    return values


def number_of(count: str, values: dict[str, Any]) -> int:
    """'3', 'R', '2 k', 'n F' or 'length - 1'."""
    product, _, less = count.partition(" - ")
    result = 1
    for word in product.split():
        result *= int(word) if word.isdigit() else values[word]
    return result - int(less or 0)


def varints(blob: bytes, at: int, n: int) -> tuple[list[int], int]:
    numbers = []
    for _ in range(n):
        match = re.compile(rb"[\x80-\xff]*[\x00-\x7f]", re.DOTALL).match(blob, at)
        assert match
        numbers.append(sum((byte & 0x7F) << 7 * i for i, byte in enumerate(match[0])))
        at = match.end()
    return numbers, at
