"""The end of the demo: a person names films, and the list that answers is shown with its moves and milliseconds."""

import doctest
from collections.abc import Callable, Sequence

import pytest

from livetower.demo import name_films as module
from livetower.demo import own_list
from livetower.demo.name_films import Reply, find_films, name_films
from livetower.demo.own_list import OwnList, event_of

TITLES = {
    "1": "Toy Story (1995)",
    "2": "Star Wars (1977)",
    "3": "Star Trek: First Contact (1996)",
    "4": "Empire Strikes Back, The (1980)",
    "5": "Fargo (1996)",
    "6": "Godfather, The (1972)",
    "7": "Godfather: Part II, The (1974)",
}


class Person:
    """Answers questions with these lines, and then there is no more input."""

    def __init__(self, *lines: str, end: type[BaseException] = EOFError) -> None:
        self.lines, self.end = list(lines), end
        self.questions: list[str] = []
        self.read: list[str] = []

    def ask(self, question: str) -> str:
        self.questions.append(question)
        if not self.lines:
            raise self.end
        return self.lines.pop(0)


def job(*lists: Sequence[str] | None) -> tuple[Callable[[str | None], Reply | None], list[str | None]]:
    """Answers with these lists, each a millisecond slower than the one before."""
    liked: list[str | None] = []

    def answer(item_id: str | None) -> Reply | None:
        liked.append(item_id)
        item_ids = lists[len(liked) - 1]
        return None if item_ids is None else Reply(item_ids, float(len(liked)))

    return answer, liked


def test_after_each_film_the_own_list_is_shown_with_its_moves_and_milliseconds():
    person = Person("star wars", "Fargo", "toy story")
    answer, liked = job(["1", "2", "5"], ["4", "1", "5"], ["4", "1"], ["4"])
    name_films(TITLES, person.ask, person.read.append, answer)
    assert liked == [None, "2", "5", "1"]
    assert person.questions == ["film 1 of 3: ", "film 2 of 3: ", "film 3 of 3: "]
    assert person.read[1:] == [
        "  Star Wars (1977): your new list is here, 2.0 ms later",
        "     1  new  Empire Strikes Back, The (1980)",
        "     2  ↓1   Toy Story (1995)",
        "     3       Fargo (1996)",
        "  Fargo (1996): your new list is here, 3.0 ms later",
        "     1       Empire Strikes Back, The (1980)",
        "     2       Toy Story (1995)",
        "  Toy Story (1995): your new list is here, 4.0 ms later",
        "     1       Empire Strikes Back, The (1980)",
    ]


def test_of_several_titles_the_person_chooses_by_number():
    person = Person("star", "2", "")
    answer, liked = job([], [])
    name_films(TITLES, person.ask, person.read.append, answer)
    assert person.read[1:3] == ["    1  Star Wars (1977)", "    2  Star Trek: First Contact (1996)"]
    assert liked == [None, "3"]


def test_what_is_no_film_is_asked_again_and_a_number_without_a_list_is_a_title():
    person = Person("qqqq", "2", "star", "9", "toy storry")
    answer, liked = job([], [])
    name_films(TITLES, person.ask, person.read.append, answer, films=1)
    assert person.read.count("  the catalogue (films up to 1998) has no such title") == 3
    assert liked == [None, "1"]


@pytest.mark.parametrize("person", [Person(""), Person(), Person(end=KeyboardInterrupt)])
def test_an_empty_line_the_end_of_input_and_an_interrupt_end_it_quietly(person: Person):
    answer, liked = job([])
    name_films(TITLES, person.ask, person.read.append, answer)
    assert liked == [None]
    assert len(person.questions) == 1


@pytest.mark.parametrize(("lists", "asked"), [([None], 0), ([[], None], 1), ([[], [], [], None], 3)])
def test_a_list_that_does_not_come_is_said_once_and_ends_it(lists: list, asked: int):
    person = Person("fargo", "fargo", "fargo")
    answer, _ = job(*lists)
    name_films(TITLES, person.ask, person.read.append, answer)
    assert len(person.questions) == asked
    assert person.read[-1] == "no list came for you: `livetower logs` says more"
    assert person.read.count(person.read[-1]) == 1


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("The Empire Strikes Back", ["4"]),
        ("empire strike bak", ["4"]),
        ("godfather", ["6", "7"]),
        ("GODFATHER, the (1972)", ["6", "7"]),
        ("the", []),
        ("?!", []),
    ],
)
def test_titles_are_found_without_articles_case_and_exact_spelling(typed: str, found: list[str]):
    assert find_films(typed, TITLES) == found


def test_an_exact_title_is_taken_even_if_others_hold_it():
    person = Person("the godfather")
    answer, liked = job([], [])
    name_films(TITLES, person.ask, person.read.append, answer, films=1)
    assert liked == [None, "6"]


BEFORE = {"rec_id": "you:you-1", "items": [{"item_id": "9"}, {"item_id": "5"}]}


def test_a_like_names_the_list_in_which_the_film_stood():
    like = {"event_id": "you-2", "user_id": "you", "event_time_ms": 7, "event_type": "like", "item_id": "5"}
    assert event_of("you", 2, "5", 7, BEFORE) == like | {"rec_id": "you:you-1", "position": 1}
    assert event_of("you", 2, "5", 7, {"rec_id": "you:you-1", "items": []}) == like
    assert event_of("you", 2, "5", 7, None) == like
    assert event_of("you", 1, None, 7, None)["event_type"] == "request"


class Record:
    """A Kafka message."""

    def __init__(self, key: bytes, value: bytes | None) -> None:
        self._key, self._value = key, value

    def error(self) -> None:
        return None

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes | None:
        return self._value


def test_only_the_list_that_answers_the_users_own_event_is_taken():
    own = OwnList.__new__(OwnList)  # without its Kafka
    own.user_id = "you"
    assert own._list_of(Record(b"bob", b'{"trigger": "e"}'), "e") is None
    assert own._list_of(Record(b"you", None), "e") is None
    assert own._list_of(Record(b"you", b'{"trigger": "earlier"}'), "e") is None
    assert own._list_of(Record(b"you", b'{"trigger": "e"}'), "e") == {"trigger": "e"}


@pytest.mark.parametrize("documented", [module, own_list])
def test_the_examples_in_docstrings_are_right(documented: object):
    tried = doctest.testmod(documented)
    assert tried.attempted > 0
    assert tried.failed == 0
