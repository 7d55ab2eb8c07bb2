"""Values are shown, compared and hashed as attrs would do it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from raft_actors import records


class Plain:
    """The fields of the classes below."""

    seen: int
    hidden: int = attrs.field(default=0, repr=False)
    aside: list[Any] = attrs.field(factory=list[Any], eq=False)
    data: bytes = attrs.field(default=b"", repr=lambda data: f"<{len(data)} bytes>")


@pytest.mark.parametrize("name", ["define", "frozen", "record"])
def test_classes_are_as_attrs_makes_them(name: str) -> None:
    makers = {"define": attrs.define, "frozen": attrs.frozen, "record": attrs.frozen}
    ours, theirs = getattr(records, name)(Plain), makers[name](Plain)
    values = [(1,), (2,), (1, 1), (1, 0, [5]), (1, 0, [], b"data")]
    for one in values:
        assert repr(ours(*one)) == repr(theirs(*one))
        assert ours(*one) != theirs(*one)
        for other in values:
            assert (ours(*one) == ours(*other)) == (theirs(*one) == theirs(*other)), (one, other)
    if name == "define":
        with pytest.raises(TypeError, match="unhashable"):
            hash(ours(1))
    else:
        assert len({ours(*one) for one in values}) == len({theirs(*one) for one in values}) == 4


def test_what_holds_itself_is_shown_once() -> None:
    make: Any = records.frozen(Plain)
    value = make(1)
    value.aside.append(value)
    assert repr(value) == "Plain(seen=1, aside=[...], data=<0 bytes>)"


def test_a_class_may_go_by_identity_and_speak_for_itself() -> None:
    @records.frozen(eq=False)
    class Own:
        def __repr__(self) -> str:
            return "own"

    assert Own() != Own()
    assert len({Own(), Own()}) == 2
    assert repr(Own()) == "own"


def test_no_fields_are_all_alike() -> None:
    @records.frozen
    class Nothing:
        """Nothing."""

    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())
    assert repr(Nothing()) == "Nothing()"


def test_a_subclass_is_another_class_with_fields_of_its_own() -> None:
    @records.frozen
    class Narrow:
        one: int = 0

    @records.frozen
    class Wide(Narrow):
        more: int = 0

    assert Wide(1) != Narrow(1)
    assert Wide(1, more=2) != Wide(1, more=3)
    assert "Wide(one=1, more=2)" in repr(Wide(1, more=2))
