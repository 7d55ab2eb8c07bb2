"""What applications may rely on, as text: the names that the public packages export, with their signatures.

`python -m tests.unit.public_api --rewrite` writes tests/public_api.txt anew; without the flag it only says whether
that is needed.
"""

from __future__ import annotations

import argparse
import enum
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("raft_actors", "raft_actors.transports", "raft_actors.persistence", "raft_actors.testing")
SNAPSHOT = Path(__file__).parents[1] / "public_api.txt"
WIDE = 90
REWRITE = "python -m tests.unit.public_api --rewrite"


def plain(text: str) -> str:
    """The text without what differs from run to run and from Python to Python: addresses, and where names come from."""
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    return re.sub(r"\b(?:[a-z_]+[.])+(?=[A-Z_a-z])", "", text)


def annotation(value: Any) -> str:
    return plain(value.strip("'\"") if isinstance(value, str) else inspect.formatannotation(value))


def parameter(one: inspect.Parameter) -> str:
    stars = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
    typed = "" if one.annotation is one.empty else f": {annotation(one.annotation)}"
    default = "" if one.default is one.empty else f" = {plain(repr(one.default))}"
    return f"{stars}{one.name}{typed}{default}"


def signature(function: Any) -> str:
    """`(self, command: Any, /) -> int`, as the source has it."""
    try:
        found = inspect.signature(function)
    except ValueError:  # written in C
        return "(…)"
    parts: list[str] = []
    last = None
    for one in found.parameters.values():
        if last is inspect.Parameter.POSITIONAL_ONLY and one.kind is not last:
            parts.append("/")
        if one.kind is one.KEYWORD_ONLY and last not in (one.KEYWORD_ONLY, one.VAR_POSITIONAL):
            parts.append("*")
        parts.append(parameter(one))
        last = one.kind
    if last is inspect.Parameter.POSITIONAL_ONLY:
        parts.append("/")
    returned = "" if found.return_annotation is found.empty else f" -> {annotation(found.return_annotation)}"
    if sum(map(len, parts)) > WIDE:  # a parameter on a line of its own, so that two changes can be merged
        return "(\n" + "".join(f"    {part},\n" for part in parts) + f"){returned}"
    return f"({', '.join(parts)}){returned}"


def prefix(function: Any) -> str:
    inner = inspect.unwrap(function)  # older Trios' `enable_ki_protection` wraps, too
    if inspect.isasyncgenfunction(inner) and inner is not function:  # by asynccontextmanager
        return "async with"
    return "async def" if inspect.iscoroutinefunction(inner) else "def"


def member(name: str, value: Any) -> str:
    """One line for what stands in a class under a public name."""
    match value:
        case property():
            returned = inspect.signature(value.fget).return_annotation if value.fget else inspect.Signature.empty
            return name if returned is inspect.Signature.empty else f"{name}: {annotation(returned)}"
        case classmethod() | staticmethod():
            kind = type(value).__name__
            return f"@{kind} {prefix(value.__func__)} {name}{signature(value.__func__)}"
        case _ if inspect.isfunction(value):
            return f"{prefix(value)} {name}{signature(value)}"
        case _:
            return name


def members(cls: type) -> Iterator[str]:
    """What is public of a class, with what it has from other classes of ours."""
    if issubclass(cls, enum.Enum):
        yield from (f"{name} = {one.value!r}" for name, one in cls.__members__.items())
        return
    if not getattr(cls, "_is_protocol", False) and any("__init__" in vars(base) for base in ours(cls)):
        yield f"def __init__{signature(cls.__init__)}"
    found: dict[str, Any] = {}
    for base in reversed(ours(cls)):
        found.update({name: value for name, value in vars(base).items() if not name.startswith("_")})
        annotated = vars(base).get("__annotations__", {})
        found.update({name: None for name in annotated if not name.startswith("_") and name not in found})
    yield from (member(name, found[name]) for name in sorted(found))


def ours(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.partition(".")[0] == "raft_actors"]


def described(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {name}({bases})" if bases else f"class {name}"
        yield from (textwrap.indent(line, "    ") for line in members(value))
    elif inspect.isfunction(value):
        yield f"{prefix(value)} {name}{signature(value)}"
    elif type(value).__module__ in ("types", "typing", "collections.abc"):
        yield f"{name} = {plain(str(value))}"
    else:
        yield f"{name}: {type(value).__name__.lstrip('_')}"


def public_api() -> str:
    lines = [f"# The public API. Not edited by hand: {REWRITE}"]
    for package in PACKAGES:
        module = importlib.import_module(package)
        lines += ["", f"## {package}", ""]
        for name in sorted(module.__all__):
            lines += described(name, getattr(module, name))
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.unit.public_api", description=__doc__)
    parser.add_argument("--rewrite", action="store_true", help="write what there is now")
    wanted = public_api()
    if parser.parse_args().rewrite:
        SNAPSHOT.write_text(wanted, encoding="utf-8")
        return 0
    return int(not SNAPSHOT.exists() or SNAPSHOT.read_text(encoding="utf-8") != wanted)


if __name__ == "__main__":
    sys.exit(main())
