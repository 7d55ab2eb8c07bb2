"""Known vulnerabilities of packages, from a file, against the exact versions of constraints.txt.

The file is an export of the OSV database for PyPI: a zip of JSON documents, or a folder of them.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version


@attrs.frozen(order=True)
class Finding:
    """A package of ours that an advisory concerns."""

    package: str
    version: str
    advisory: str
    summary: str


def pinned(text: str) -> dict[str, str]:
    """The packages of a constraints file, and their versions."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def advisories(source: Path) -> Iterator[Mapping[str, Any]]:
    """All documents of an export."""
    if source.is_dir():
        for path in sorted(source.glob("*.json")):
            yield json.loads(path.read_bytes())
        return
    with zipfile.ZipFile(source) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def audit(packages: Mapping[str, str], documents: Iterator[Mapping[str, Any]]) -> list[Finding]:
    """Which of the packages an advisory concerns that was not withdrawn."""
    return sorted(
        {
            Finding(name, packages[name], document["id"], document.get("summary", ""))
            for document in documents
            if "withdrawn" not in document
            for affected in document.get("affected", ())
            if (name := _name(affected)) in packages and _concerns(affected, packages[name])
        }
    )


def _name(affected: Mapping[str, Any]) -> str:
    package = affected.get("package", {})
    return canonicalize_name(package.get("name", "")) if package.get("ecosystem") == "PyPI" else ""


def _concerns(affected: Mapping[str, Any], version: str) -> bool:
    if version in affected.get("versions", ()):
        return True
    ranges = (one for one in affected.get("ranges", ()) if one.get("type") == "ECOSYSTEM")
    return any(_within(one.get("events", ()), Version(version)) for one in ranges)


def _within(events: Any, version: Version) -> bool:
    """Whether a version lies in a range: of the events up to it, the last says so."""
    concerned = False
    for event in sorted(events, key=_moment):
        ((kind, _),) = event.items()
        if _moment(event) > version or (kind == "last_affected" and _moment(event) == version):
            break
        concerned = kind == "introduced"
    return concerned


def _moment(event: Mapping[str, str]) -> Version:
    (number,) = event.values()
    try:
        return Version(number)
    except InvalidVersion:
        return Version("0")  # better one finding too many
