"""The states in tests/fixtures/states, unpacked where a test may damage them."""

import re
from pathlib import Path

import stored_states
from made_up_state import in_file, int32, text

from livetower.operations.metadata import read_metadata

RECORDED = re.compile(rb"(..)(file:[^\0]{0,200}?/shared/[0-9a-f-]{36})", re.DOTALL)
"""How a file that checkpoints share is named in _metadata: two bytes length, then its URI."""


def unpacked(kind: str, folder: Path) -> Path:
    """A state of this kind, with the files that it shares where its metadata says: it can be restored from there."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = stored_states.unpacked(kind, folder) / "_metadata"

    def here(match: re.Match[bytes]) -> bytes:
        uri = f"file:{folder}/shared/".encode() + match[2][-36:]
        return len(uri).to_bytes(2, "big") + uri

    metadata.write_bytes(RECORDED.sub(here, metadata.read_bytes()))
    return metadata.parent


def with_files_of_their_own(state: Path) -> Path:
    """Files so small that Flink put them into _metadata itself are laid beside it, as larger ones are."""
    metadata = state / "_metadata"
    content = metadata.read_bytes()
    for operator in read_metadata(content).operators:
        for each in operator.files:
            if each.content is not None:
                file = state / each.path.rpartition("/")[2]
                file.write_bytes(each.content)
                within = b"\1" + text(each.path) + int32(each.size) + each.content
                assert within in content
                content = content.replace(within, in_file(file))
    metadata.write_bytes(content)
    return state


def replace_bytes(file: Path, old: bytes, new: bytes, count: int = -1) -> None:
    """Put bytes in the place of others, as many."""
    assert len(old) == len(new)
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, count))
