"""What of an item is read: names, numbers, text, vectors, and what is missing."""

import numpy as np

from models.features import NAMES_MAX, NGRAMS_MAX, FeatureSpace, ngrams_of
from models.number_statistics import NUMBERS_MAX
from models.records import Item, pack_vectors
from models.settings import TowerSettings


def space(*listed: Item, **settings: object) -> FeatureSpace:
    made = FeatureSpace(TowerSettings(**settings))  # type: ignore[arg-type]
    for item in listed:
        made.learn(item, None)
    return made


FILM = Item("a", title="Alien", category="film", tags=("war", "long"), numbers=(("year", 1990.0),))


def test_category_and_tags_have_the_indices_in_which_they_were_met() -> None:
    made = space(FILM)
    assert made.names == {"category=film": 1, "tag=war": 2, "tag=long": 3}
    assert made.encode([FILM]).names[0, :4].tolist() == [1, 2, 3, -1]


def test_a_category_and_a_tag_of_one_name_are_two() -> None:
    assert len(space(Item("a", category="war", tags=("war",))).names) == 2


def test_names_nobody_listed_and_names_beyond_the_columns_are_out_of_vocabulary() -> None:
    made = space(FILM, Item("b", tags=("fourth",)), content_columns=4)
    assert made.encode([Item("c", tags=("war", "fourth", "unheard of"))]).names[0, :4].tolist() == [2, 0, 0, -1]
    assert len(made.names) == 3


def test_asking_changes_no_vocabulary() -> None:
    made = space(FILM)
    made.encode([Item("new", category="book", numbers=(("pages", 3.0),), vectors=pack_vectors({"image": [1]}))])
    assert (len(made.names), made.numbers, made.vectors) == (3, {"year": 0}, {})


def test_an_item_that_says_nothing_has_no_features() -> None:
    encoded = space(FILM, content_text_columns=8).encode([Item("b"), FILM, Item("c", text="!?")])
    assert encoded.described().tolist() == [False, True, False]
    assert (encoded.names[0] == -1).all()
    assert np.isnan(encoded.numbers[0]).all()
    assert (encoded.ngrams[0] == -1).all()


def test_a_number_that_is_missing_is_not_zero() -> None:
    made = space(Item("a", numbers=(("pages", 0.0), ("year", 1990.0))))
    numbers = made.encode([Item("b", numbers=(("year", 1991.0),)), Item("c", numbers=(("pages", 0.0),))]).numbers
    np.testing.assert_array_equal(numbers[:, :2], [[np.nan, 1991], [0, np.nan]])


def test_an_item_that_is_listed_again_counts_its_changed_numbers_alone() -> None:
    made = space()
    before = Item("a", numbers=(("pages", 100.0), ("year", 1990.0)))
    made.learn(before, None)
    made.learn(Item("a", numbers=(("pages", 100.0), ("year", 1992.0))), before)
    assert made.statistics.mean_and_deviation()[0][:2].tolist() == [100, 1991]
    assert np.count_nonzero(~np.isnan(made.statistics.sample), axis=1)[:2].tolist() == [1, 2]


def test_numbers_beyond_the_sixteenth_are_left_aside() -> None:
    item = Item("a", numbers=tuple((f"n{n:02}", float(n)) for n in range(20)))
    made = space(item)
    assert list(made.numbers) == [f"n{n:02}" for n in range(NUMBERS_MAX)]
    assert made.encode([item]).numbers[0].tolist() == list(range(NUMBERS_MAX))


def test_at_most_32_names_are_read_the_category_first() -> None:
    names = space(Item("a", category="c", tags=tuple(f"t{n}" for n in range(40)))).names
    assert len(names) == NAMES_MAX == 32
    assert next(iter(names)) == "category=c"


def test_text_is_read_when_it_has_columns_and_words_share_their_n_grams() -> None:
    assert space().encode([FILM]).ngrams.shape == (1, 0)
    alien, aliens, other = (
        space(content_text_columns=8).encode([FILM, Item("b", title="ALIENS!"), Item("c", title="Brazil")]).ngrams
    )
    shared = set(alien.tolist()) & set(aliens.tolist()) - {-1}
    assert len(shared) >= 8  # <al ali lie ien <ali alie lien <alie alien
    assert len(set(alien.tolist()) & set(other.tolist()) - {-1}) <= 1  # buckets may collide


def test_a_long_text_keeps_its_words_before_their_pieces() -> None:
    grams = ngrams_of(" ".join(f"w{n}" for n in range(500)))
    assert grams == [f"<w{n}>" for n in range(NGRAMS_MAX)]
    assert ngrams_of("日本 ключ")[:2] == ["<日本>", "<ключ>"]


def test_each_named_vector_has_a_slot_of_the_length_that_came_first() -> None:
    both = Item("a", vectors=pack_vectors({"audio": [1, 2], "image": [3, 4, 5]}))
    made = space(both)
    wrong = Item("b", vectors=pack_vectors({"image": [9, 9]}))
    made.learn(wrong, None)
    assert made.unread_vectors == 1
    audio, image = made.encode([wrong, both, Item("c")]).vectors
    assert (audio.slot, audio.at.tolist(), audio.vectors.tolist()) == (0, [1], [[1, 2]])
    assert (image.slot, image.at.tolist(), image.vectors.tolist()) == (1, [1], [[3, 4, 5]])


def test_vectors_beyond_the_fourth_name_are_left_aside_and_counted() -> None:
    made = space(Item("a", vectors=pack_vectors({f"v{n}": [1.0] for n in range(6)})))
    assert list(made.vectors) == ["v0", "v1", "v2", "v3"]
    assert made.unread_vectors == 2
