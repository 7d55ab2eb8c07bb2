"""How Sphinx makes the site of these documents: `make docs`."""

from __future__ import annotations

import enum
import importlib
import inspect
import os
import posixpath
import re
import sys
import types
from pathlib import Path
from typing import Any

import attrs
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

logger = logging.getLogger(__name__)
HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from docs.check_site import INTERNAL, PUBLIC  # noqa: E402 - it is in the folder above

project = "raft_actors"
author = copyright = "The raft_actors developers"  # noqa: A001 - Sphinx's name for it
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "furo"
html_title = "raft_actors"
html_show_sphinx = False
html_static_path: list[str] = []
exclude_patterns = ["plots/*.md"]

myst_heading_anchors = 4  # as GitHub gives them, so that links work there and here
myst_enable_extensions = ["deflist"]
# Documents of the repository begin where it suits them there; and an example with "…" in it is no whole program.
suppress_warnings = ["myst.header", "misc.highlighting_failure"]

autodoc_member_order = "groupwise"
# Node and the simulated clusters are put together of base classes that nobody imports: their methods are documented at
# the class that applications use. Not so what comes from Python, or from a base class of Trio's.
autodoc_default_options = {
    "inherited-members": "BaseException,Enum,Generic,Protocol,RuleBasedStateMachine,object,str,tuple"
}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False
default_role = "code"
napoleon_use_ivar = True
napoleon_use_rtype = False

nitpicky = True
# What stands in signatures without being public: other libraries' types, type variables, and inner parts that are
# passed through. (docs/check_site.py sees that no public name is missing.)
nitpick_ignore_regex = [
    (r"py:.*", r"(trio|attrs?|typing|collections|contextlib|outcome|os|ssl|enum|random|abc|pathlib)\..*"),
    (r"py:.*", r"raft_actors\.[a-z_]+\..*"),
    (r"py:(class|obj)", r"[A-Z]\w*(_co|T)?|[a-z_]+|.*[^\w.].*"),
    (r"py:exc", r"\.?(trio\.\w+|\w*(Error|Exception|Interrupt)|BrokenResourceError|WouldBlock|EndOfChannel|Cancelled)"),
    (r"py:exc", r"\.?UnknownMessage"),  # a ProtocolError; which one is the codec's affair
]

#: Documents that live elsewhere in the repository, and the page that shows each.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples/README.md": "examples.md",
    "findings/README.md": "findings.md",
    **{
        path.relative_to(ROOT).as_posix(): f"examples/{path.parent.name}.md"
        for path in sorted((ROOT / "examples").glob("*/README.md"))
    },
}
DATA_OF = re.compile(r"^<!-- data of (\S+) -->$", re.MULTILINE)
PAGE_OF = re.compile(r"^<!-- page of (\S+) -->$", re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")


def name_by_public_package() -> None:
    """Have classes and functions say that they come from where applications import them, not where they are written."""
    for package in PUBLIC:
        module = importlib.import_module(package)
        for name in module.__all__:
            found = getattr(module, name)
            if (inspect.isclass(found) or inspect.isfunction(found)) and found.__module__.startswith("raft_actors"):
                if inspect.isclass(found):
                    bring_docstrings_of_attributes(found, package)
                found.__module__ = package


def bring_docstrings_of_attributes(exported: type, package: str) -> None:
    """Autodoc looks in the source of a class's module for what is written below its attributes: it is to find that in
    the package, too.
    """
    found = ModuleAnalyzer.for_module(exported.__module__).find_attr_docs()
    public = ModuleAnalyzer.for_module(package)
    public.analyze()
    public.attr_docs.update({key: lines for key, lines in found.items() if key[0] == exported.__qualname__})


# --- documents -----------------------------------------------------------------------------------------------


def on_source(app: Sphinx, name: str, source: list[str]) -> None:
    """Put in the document that a page stands for, and lead links to where things are in the site."""
    text = source[0]
    page_of, data_of = PAGE_OF.search(text), DATA_OF.search(text)
    if page_of is None:
        source[0] = with_links(text, f"docs/{name}.md", name)
        if data_of is not None:
            source[0] = source[0].replace(data_of[0], "\n".join(data_of_package(data_of[1])))
        return
    document = (ROOT / page_of[1]).read_text(encoding="utf-8")
    source[0] = text.replace(page_of[0], with_links(document, page_of[1], name))


def with_links(text: str, written_in: str, page: str) -> str:
    """The text of a document of the repository, with links that work in the site's page."""
    folder, page_folder = posixpath.dirname(written_in), posixpath.dirname(f"docs/{page}")

    def lead(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[1]))
        if (ROOT / target).is_dir():
            readme = posixpath.join(target, "README.md")
            target = readme if readme in PAGES else posixpath.join(target, "__init__.py")
        if target in PAGES:
            target = f"docs/{PAGES[target]}"
        return os.path.relpath(ROOT / target, ROOT / page_folder)

    return LINK.sub(lead, text)


def data_of_package(package: str) -> list[str]:
    """A directive for each exported name that is neither class nor function: autodoc sees the docstrings of these only
    in the module that defines them.
    """
    documented: dict[int, tuple[str, list[str]]] = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith("raft_actors") and getattr(module, "__file__", None):
            for (owner, variable), lines in ModuleAnalyzer.for_module(name).find_attr_docs().items():
                if not owner and hasattr(module, variable):
                    documented[id(getattr(module, variable))] = (variable, lines)
    exported = importlib.import_module(package)
    made = ["```{eval-rst}"]
    for variable in exported.__all__:
        value = getattr(exported, variable)
        if inspect.isclass(value) or inspect.isfunction(value):
            continue
        known, lines = documented.get(id(value), ("", []))
        if known == variable:
            lines = doubled(lines)
        elif isinstance(value, types.UnionType):
            lines = ["One of " + ", ".join(f":py:class:`~.{member.__name__}`" for member in value.__args__) + "."]
        else:
            logger.warning("%s.%s has no docstring", package, variable)
        made += [f".. py:data:: {variable}", f"   :module: {package}", "", *(f"   {line}" for line in lines), ""]
    return [*made, "```"]


# --- docstrings ----------------------------------------------------------------------------------------------


def on_docstring(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Called for each docstring before it is parsed; changes `lines`."""
    made = with_code(with_errors(one_name_an_entry(doubled(lines))))
    if what in {"attribute", "data", "property"}:
        made = without_type(made)
    if inspect.isasyncgenfunction(getattr(found, "__wrapped__", None)):  # by asynccontextmanager
        made = ["*An asynchronous context manager:* ``async with``.", "", *made]
    lines[:] = made


def doubled(lines: list[str]) -> list[str]:
    """Code stands between single backticks in docstrings, and between double ones in reStructuredText."""
    return [re.sub(r"(?<!`)`(?!`)([^`]+)`(?!`)", r"``\1``", line) for line in lines]


def without_type(lines: list[str]) -> list[str]:
    """Napoleon takes what stands before a colon in the first line of an attribute's docstring for its type: so the line
    is broken before it.
    """
    first, colon, _ = lines[0].partition(":")
    before = first.rpartition(" ")[0]
    return [before, lines[0][len(before) + 1 :], *lines[1:]] if colon and before else lines


def one_name_an_entry(lines: list[str]) -> list[str]:
    """Attributes that share a description, `index, term: of its entry`, get it each: Sphinx would take the first name
    for the type of the second.
    """
    made: list[str] = []
    in_section = False
    index = 0
    while index < len(lines):
        line = lines[index]
        index += 1
        if line and not line.startswith(" "):
            in_section = line in {"Attributes:", "Args:"}
        found = re.fullmatch(r"    (\w+(?:, \w+)+): (.*)", line) if in_section else None
        if found is None:
            made.append(line)
            continue
        end = index
        while end < len(lines) and lines[end].startswith("        "):
            end += 1
        for name in found[1].split(", "):
            made += [f"    {name}: {found[2]}", *lines[index:end]]
        index = end
    return made


def with_code(lines: list[str]) -> list[str]:
    """An indented block after an empty line is code, which reStructuredText wants to be told."""
    made: list[str] = []
    in_code = False
    last = " "
    for index, line in enumerate(lines):
        indented = line.startswith("    ")
        in_code = in_code and (indented or not line.strip())
        if not in_code and indented and not lines[index - 1].strip() and not last.startswith((" ", "-", "..")):
            made += [".. code-block:: python", ""]
            in_code = True
        made.append(line)
        last = line if line.strip() else last
    return made


def with_errors(lines: list[str]) -> list[str]:
    """A section `Raises:` becomes a list, with a link for each error; one entry may name several."""
    made: list[str] = []
    in_raises = False
    for line in lines:
        if line == "Raises:":
            in_raises = True
            made += ["**Raises:**", ""]
            continue
        in_raises = in_raises and (not line or line.startswith("    "))
        entry = re.fullmatch(r"    ([\w.]+(?:, [\w.]+)*): (.*)", line) if in_raises else None
        if entry is not None:
            names = ", ".join(f":py:exc:`~.{name}`" for name in entry[1].split(", "))
            made.append(f"- {names}: {entry[2]}")
        else:
            made.append(f"  {line.strip()}" if in_raises and line else line)
    return made


def on_signature(
    app: Sphinx, what: str, name: str, found: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """Called for each signature; shows defaults of attrs classes as values, not as attrs' own code has them."""
    if what == "class" and "__init__" in INTERNAL.get(found.__name__, ()):
        return "", None
    if what not in {"class", "exception"} or signature is None or not attrs.has(found):
        return None
    for field in attrs.fields(found):
        default = field.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            shown = "..." if default.takes_self else shown_value(default.factory())
            signature = re.sub(rf"(\b{field.alias}: [^=]*?= )NOTHING", rf"\g<1>{shown}", signature)
        elif default is not attrs.NOTHING:
            signature = signature.replace(f"attr_dict['{field.name}'].default", shown_value(default))
    return signature, returned


def shown_value(value: object) -> str:
    """A default as code would have it: by its public name, if it has one; `...` for what can't be written, such as a
    function, because Sphinx would give up on the whole signature.
    """
    kind = type(value)
    for package in PUBLIC if kind is tuple or attrs.has(kind) else ():
        exported = importlib.import_module(package)
        for name in exported.__all__:
            if getattr(exported, name) is value:
                return str(name)
    if isinstance(value, enum.Enum):
        return f"{kind.__name__}.{value.name}"
    text = repr(value)
    if attrs.has(kind) and all(one.default is not attrs.NOTHING for one in attrs.fields(kind) if one.init):
        text = f"{kind.__name__}()" if value == kind() else text
    return "..." if "<" in text else text


def on_member(app: Sphinx, what: str, name: str, found: Any, skip: bool, options: Any) -> bool | None:
    """Called for each member; has those of enumerations shown without a docstring, too, where names say enough, and
    leaves out what only the library calls.
    """
    owner = app.env.current_document.autodoc_class
    is_step = "steps" in app.env.current_document.autodoc_module and owner != "Step"
    if name in INTERNAL.get(owner, ()) or (is_step and name in {"act", "take"}):
        return True
    return False if isinstance(found, enum.Enum) and not name.startswith("_") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    name_by_public_package()
    app.connect("source-read", on_source)
    app.connect("autodoc-skip-member", on_member)
    app.connect("autodoc-process-signature", on_signature)
    app.connect("autodoc-process-docstring", on_docstring, priority=100)  # before napoleon's
    return {"parallel_read_safe": True, "parallel_write_safe": True}
