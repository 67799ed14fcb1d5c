"""The item tower that a new job begins with: a file that `livetower train` wrote, from a path or a URI.

What the bytes mean is `models/tower_artefact.py`'s; when it is read, `train_item_tower.py`'s.
"""

from pathlib import Path

from pyarrow import fs

from models.settings import ModelSettings, TowerSettings
from models.tower_artefact import load_stream
from models.tower_stream import TowerStream


def load_start_tower(file: str, model: ModelSettings, settings: TowerSettings) -> TowerStream:
    """A stream that goes on where the file's tower ended. Raises OSError, InvalidArtefact."""
    if "://" in file:
        filesystem, path = fs.FileSystem.from_uri(file)
    else:
        filesystem, path = fs.LocalFileSystem(), str(Path(file).absolute())
    with filesystem.open_input_stream(path) as stream:
        blob: bytes = stream.read()
    return load_stream(blob, model, settings)
