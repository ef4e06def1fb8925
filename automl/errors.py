"""InputError: the user's data or files are at fault; one sentence says what was got, what is expected, how to mend it.

The command line turns it into one line on stderr and exit status 2; every other exception is a fault of the program.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """What the user gave cannot be used as it is."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence: the known name that resembles `name`, or a request to choose one where none does.

    Examples:
        >>> did_you_mean("digit", ["digits", "wine"])
        "did you mean 'digits'?"
        >>> did_you_mean("xyz", ["digits", "wine"])
        'choose one of these.'
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "choose one of these."


def nearest(name: str, known: Iterable[str], limit: int = 5) -> str:
    """Up to `limit` of the known names, those that resemble `name` first, quoted and comma-separated.

    Examples:
        >>> nearest("lable", ["age", "label"], limit=1)
        "'label'"
    """
    names = list(known)
    return listed(difflib.get_close_matches(name, names, n=limit, cutoff=0.5) or names, limit)


def listed(names: Sequence[str], limit: int = 8) -> str:
    """The first `limit` names, quoted and comma-separated, with dots where there are more.

    Examples:
        >>> listed(["age", "town", "label"], limit=2)
        "'age', 'town', ..."
    """
    return ", ".join(map(repr, names[:limit])) + (", ..." if len(names) > limit else "")
