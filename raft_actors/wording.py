"""What errors say: an application's may be unable to, and whoever reports one must not fail of it."""

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
