"""From what the catalogue says of items to arrays: `FeatureSpace` holds the vocabularies, `Encoded` the arrays.

    category, tags   names with an index each; 0 stands for every name without one (the vocabulary is full, or nobody
                     has listed it)
    numbers          a slot by name; the values as they are, NaN where an item does not say it
    title, text      words and their n-grams of 3 to 5 characters, hashed into buckets (Weinberger et al. 2009 for the
                     hashing, Bojanowski et al. 2017 for the n-grams): a word nobody used before shares them with others
    vectors          a slot by name; its length is that of the first one seen, others are left aside and counted

What an item does not say is left out; no zero stands for it. Bounds: `content_columns` names, NUMBERS_MAX numbers,
SLOTS_MAX vectors, and of each item NAMES_MAX names and NGRAMS_MAX n-grams: 193 bytes a row, 449 with text; vectors are
read from the catalogue. How features become a vector: `content_tower.py`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.hashing import hash_id
from models.learning import Floats, Ints
from models.number_statistics import NUMBERS_MAX, NumberStatistics
from models.records import Item
from models.settings import TowerSettings

NAMES_MAX: Final = 32
NGRAMS_MAX: Final = 64
SLOTS_MAX: Final = 4
OUT_OF_VOCABULARY: Final = 0
NUMBER_MAX: Final = 1e18
Indices = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class SlotVectors:
    """The vectors of one slot that m of n items have."""

    slot: int
    at: Ints  # (m,) which of the items
    vectors: Floats  # (m, length)


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """n items as the content tower reads them; G is NGRAMS_MAX, or 0 when text is not read."""

    names: Indices  # (n, NAMES_MAX), -1 where there is none
    numbers: Floats  # (n, NUMBERS_MAX), NaN where there is none
    ngrams: Indices  # (n, G) buckets, -1 where there is none
    vectors: tuple[SlotVectors, ...] = ()

    def described(self) -> NDArray[np.bool_]:
        """(n,): whether an item has any feature."""
        some: NDArray[np.bool_] = (self.names[:, 0] >= 0) | (~np.isnan(self.numbers)).any(1) | (self.ngrams >= 0).any(1)
        for slot in self.vectors:
            some[slot.at] = True
        return some


class Slot(NamedTuple):
    """Where a named vector goes, and how long it is."""

    number: int
    length: int


class FeatureSpace:
    """The vocabularies: they grow as items are listed and never forget."""

    def __init__(self, settings: TowerSettings) -> None:
        self.columns = settings.content_columns
        self.n_buckets = settings.content_text_buckets
        self.n_ngrams = NGRAMS_MAX if settings.content_text_columns else 0
        self.names: dict[str, int] = {}
        self.numbers: dict[str, int] = {}
        self.vectors: dict[str, Slot] = {}
        self.statistics = NumberStatistics()
        self.unread_vectors = 0

    def learn(self, item: Item, known: Item | None) -> None:
        """Enter the names of a listed item and count its numbers, those that `known` (the entry before) did not say."""
        for name in _names(item):
            if name not in self.names and len(self.names) + 1 < self.columns:
                self.names[name] = len(self.names) + 1
        before = dict(known.numbers) if known is not None else {}
        for name, number in item.numbers:
            if name not in self.numbers and len(self.numbers) < NUMBERS_MAX:
                self.numbers[name] = len(self.numbers)
            if name in self.numbers and before.get(name) != number:
                self.statistics.add(self.numbers[name], _bounded(number))
        for name, packed in item.vectors:
            if name not in self.vectors and len(self.vectors) < SLOTS_MAX:
                self.vectors[name] = Slot(len(self.vectors), len(packed) // 4)
            self.unread_vectors += name not in self.vectors or self.vectors[name].length != len(packed) // 4

    def encode(self, items: Sequence[Item]) -> Encoded:
        """The items' features; the vocabularies stay as they are."""
        names = np.full((len(items), NAMES_MAX), -1, np.int32)
        numbers = np.full((len(items), NUMBERS_MAX), np.nan, np.float32)
        ngrams = np.full((len(items), self.n_ngrams), -1, np.int32)
        for n, item in enumerate(items):
            indices = [self.names.get(name, OUT_OF_VOCABULARY) for name in _names(item)]
            names[n, : len(indices)] = indices
            for name, number in item.numbers:
                if name in self.numbers:
                    numbers[n, self.numbers[name]] = _bounded(number)
            if self.n_ngrams:
                buckets = [hash_id(gram) % self.n_buckets for gram in ngrams_of(f"{item.title} {item.text}")]
                ngrams[n, : len(buckets)] = buckets
        return Encoded(names, numbers, ngrams, self.vectors_of(items))

    def vectors_of(self, items: Sequence[Item]) -> tuple[SlotVectors, ...]:
        """The items' named vectors, by slot."""
        found: list[list[tuple[int, bytes]]] = [[] for _ in self.vectors]
        for at, item in enumerate(items):
            for name, packed in item.vectors:
                slot = self.vectors.get(name)
                if slot is not None and slot.length == len(packed) // 4:
                    found[slot.number].append((at, packed))
        return tuple(
            SlotVectors(
                number,
                np.array([at for at, _ in having]),
                np.frombuffer(b"".join(packed for _, packed in having), "<f4").reshape(len(having), -1),
            )
            for number, having in enumerate(found)
            if having
        )


def _bounded(number: float) -> float:
    """Within what a float32 can square."""
    return min(max(number, -NUMBER_MAX), NUMBER_MAX)


def _names(item: Item) -> list[str]:
    """Category and tags, at most NAMES_MAX, the category first."""
    named = [f"category={item.category}"] if item.category else []
    return [*named, *(f"tag={tag}" for tag in item.tags)][:NAMES_MAX]


def ngrams_of(text: str) -> list[str]:
    """Words with their borders, then their n-grams of 3 to 5 characters, each once; at most NGRAMS_MAX.

    >>> ngrams_of("Alien")
    ['<alien>', '<al', 'ali', 'lie', 'ien', 'en>', '<ali', 'alie', 'lien', 'ien>', '<alie', 'alien', 'lien>']
    """
    words = [f"<{word}>" for word in re.findall(r"\w+", text.lower())[:NGRAMS_MAX]]
    return list(dict.fromkeys([*words, *_pieces(words)]))[:NGRAMS_MAX]


def _pieces(words: Sequence[str]) -> Iterator[str]:
    """Breadth first, so that a long text is cut where its words are longest in pieces, not in the middle."""
    for length in (3, 4, 5):
        for word in words:
            yield from (word[at : at + length] for at in range(len(word) - length + 1) if length < len(word))
