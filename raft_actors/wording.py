"""What others say, fit to be reported: an error's text, which an application's may be unable to give, on one line."""

from __future__ import annotations


def text_of(error: BaseException) -> str:
    """Its text; its type's name where its `__str__` raises."""
    try:
        return f"{error}"
    except Exception:  # noqa: BLE001 - an application's `__str__`
        return type(error).__name__


def described(error: BaseException) -> str:
    """Its type's name and its text; the name alone where its `__str__` raises.

    Sessions keep this of commands that were refused, in the replicated state: it must stay as it is.
    """
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - as above
        return type(error).__name__


def printable(value: object) -> str:
    """Its text on one line, in which nothing acts on a terminal: what is no letter, digit, sign or blank is spelled
    out, as `repr` does. Ordinary text of any script stays.
    """
    text = str(value)
    return text if text.isprintable() else "".join(map(_spelled, text))


def _spelled(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
