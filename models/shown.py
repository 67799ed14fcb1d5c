"""A value from outside as an error message may show it: short, however long or deep the value is.

`repr` follows nesting and fails at about a thousand levels, which orjson still reads; what says why a record is
refused must not fail itself.
"""

import reprlib
from typing import Final

SHOWN_MAX: Final = 80

_BRIEF: Final = reprlib.Repr()
_BRIEF.maxlevel = 3
_BRIEF.maxlist = _BRIEF.maxdict = 20
_BRIEF.maxstring = SHOWN_MAX


def shown(value: object) -> str:
    """At most SHOWN_MAX characters that tell what came.

    >>> shown("view"), shown([[[[["deep"]]]]])
    ("'view'", '[[[[...]]]]')
    """
    text = _BRIEF.repr(value) if isinstance(value, list | dict) else repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 3]}..."
