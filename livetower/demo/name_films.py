"""You name films that you like and see your own list move. Pure: asking, printing and the job come as callables.

own_list.py is the job's side of it.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from livetower.watch.followed import entries_of
from livetower.watch.lines import format_ms

FILMS = 3
CANDIDATES = 5
ALIKE = 0.6
"""difflib's ratio from which on a title is a candidate."""
CONTAINED = 0.9
"""What a title counts that holds the typed words as they stand."""
PLACES_SHOWN = 10
ARTICLES = r"(?:the|a|an|il|la|le|les|das|der|die)"


@dataclass(frozen=True, slots=True)
class Reply:
    """The job's answer to an event: the list, and the time from sending the event to having the list."""

    item_ids: Sequence[str]
    ms: float


def name_films(
    titles: Mapping[str, str],
    ask: Callable[[str], str],
    say: Callable[[str], None],
    answer: Callable[[str | None], Reply | None],
    films: int = FILMS,
) -> None:
    """Ask for `films` titles of the catalogue `titles` (item_id → title) and show the list after each.

    `ask` prints a question and returns a line; it raises EOFError or KeyboardInterrupt when there is none. `answer`
    sends a like of an item, or with None asks for a list only; it returns None when no list comes.
    """
    say(f"Now you: name {films} films that you like, and see your own list move. An empty line ends it.")
    reply = answer(None)
    for n in range(1, films + 1):
        if reply is None:
            say("no list came for you: `livetower logs` says more")
            return
        item_id = choose_film(f"film {n} of {films}: ", titles, ask, say)
        if item_id is None:
            return
        before, reply = reply.item_ids, answer(item_id)
        if reply is not None:
            say(f"  {titles[item_id]}: your new list is here, {format_ms(reply.ms)} later")
            for place, entry in enumerate(entries_of(before, reply.item_ids, titles)[:PLACES_SHOWN], 1):
                say(f"    {place:>2}  {entry.move:<4} {entry.title}")
    if reply is None:
        say("no list came for you: `livetower logs` says more")


def choose_film(
    question: str, titles: Mapping[str, str], ask: Callable[[str], str], say: Callable[[str], None]
) -> str | None:
    """The item that the person means; None for an empty line or none at all."""
    candidates: list[str] = []
    try:
        typed = ask(question).strip()
        while typed:
            if typed.isdecimal() and 1 <= int(typed) <= len(candidates):
                return candidates[int(typed) - 1]
            candidates = find_films(typed, titles)
            if len(candidates) == 1 or (candidates and bare_title(titles[candidates[0]]) == bare_title(typed)):
                return candidates[0]
            for number, item_id in enumerate(candidates, 1):
                say(f"    {number}  {titles[item_id]}")
            if candidates:
                typed = ask("  its number, or another title: ").strip()
            else:
                say("  the catalogue (films up to 1998) has no such title")
                typed = ask(question).strip()
    except (EOFError, KeyboardInterrupt):
        say("")
    return None


def find_films(typed: str, titles: Mapping[str, str], most: int = CANDIDATES) -> list[str]:
    """Items whose titles are most like what was typed, the likest first; shorter titles first among equals.

    >>> titles = {"1": "Fugitive, The (1993)", "2": "Star Wars (1977)", "3": "Star Trek: Generations (1994)"}
    >>> find_films("the fugitve", titles), find_films("star", titles), find_films("xyz", titles)
    (['1'], ['2', '3'], [])
    """
    wanted = bare_title(typed)
    if not wanted:
        return []
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    found = []
    for item_id, title in titles.items():
        bare = bare_title(title)
        matcher.set_seq1(bare)
        if bare == wanted:
            likeness = 1.0
        elif f" {wanted} " in f" {bare} ":
            likeness = CONTAINED
        elif matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE:
            likeness = min(CONTAINED, matcher.ratio())
        else:
            continue
        if likeness >= ALIKE:
            found.append((-likeness, len(bare), item_id))
    return [item_id for *_, item_id in sorted(found)[:most]]


def bare_title(title: str) -> str:
    """A title without case, year, article and punctuation.

    >>> bare_title("Fugitive, The (1993)"), bare_title("The FUGITIVE"), bare_title("Schindler's List (1993)")
    ('fugitive', 'fugitive', 'schindlers list')
    """
    text = re.sub(r"\(\d{4}\)\s*$", "", title.casefold()).strip()
    text = re.sub(rf",\s*{ARTICLES}$|^{ARTICLES}\s+", "", text)
    return " ".join(re.sub(r"[^\w\s]", " ", text.replace("'", "")).split())
