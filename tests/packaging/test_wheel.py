"""What gets installed: the wheel holds every module under its installed name, and nothing else."""

import ast
import configparser
import email
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.archives import unpack

ROOT = Path(__file__).parents[2]
OUTLYING = ("transports", "persistence")
REQUIRED = {"attrs", "cattrs", "msgpack", "outcome", "trio", "typing_extensions"}
CLI_EXTRA = {"cryptography", "redis", "rich"}
# What these modules are about; nothing else imports them.
TEST_TOOLS = {"raft_actors/testing/pytest_plugin.py": {"pytest"}, "raft_actors/testing/stateful.py": {"hypothesis"}}
NOT_SOURCES = shutil.ignore_patterns(
    *(".git", ".venv*", ".*_cache", ".hypothesis", ".coverage*", "htmlcov"),
    *("__pycache__", "build", "dist", "*.egg-info", "*.db*"),
)


@dataclass(frozen=True)
class Built:
    """The checkout's sdist, and its wheel built in the two ways users build it."""

    sdist: Path
    wheel_of_tree: Path
    wheel_of_sdist: Path


def build(source: Path, outdir: Path, *what: str) -> None:
    """Build with the setuptools of this environment, so that nothing is downloaded."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(outdir), *what, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build from a copy: setuptools writes into the tree, where another test may be reading."""
    folder = tmp_path_factory.mktemp("packaging")
    tree = shutil.copytree(ROOT, folder / "tree", symlinks=True, ignore=NOT_SOURCES)
    build(tree, folder / "from_sdist")  # without options: an sdist, then a wheel from that sdist
    build(tree, folder / "from_tree", "--wheel")
    return Built(
        sdist=only(folder / "from_sdist", "*.tar.gz"),
        wheel_of_tree=only(folder / "from_tree", "*.whl"),
        wheel_of_sdist=only(folder / "from_sdist", "*.whl"),
    )


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def text_in(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def modules_under(folder: str) -> set[str]:
    """Return the .py files below the folder, relative to the root, not looking through links."""
    return {
        (Path(parent) / name).relative_to(ROOT).as_posix()
        for parent, _, names in os.walk(ROOT / folder, followlinks=False)
        for name in names
        if name.endswith(".py")
    }


def expected_modules() -> set[str]:
    """Return every module's path as a wheel must name it."""
    outlying = {f"raft_actors/{path}" for folder in OUTLYING for path in modules_under(folder)}
    return modules_under("raft_actors") | outlying


def test_wheel_holds_exactly_the_modules_of_the_source_tree(built: Built) -> None:
    packed = {name for name in names_in(built.wheel_of_tree) if name.endswith(".py")}
    assert packed == expected_modules()


def test_wheel_of_the_sdist_is_the_wheel_of_the_tree(built: Built) -> None:
    # The sdist has no links, so whatever finds packages only through them shows here.
    assert names_in(built.wheel_of_sdist) == names_in(built.wheel_of_tree)


def test_wheel_holds_what_the_diagram_is_made_of(built: Built) -> None:
    folder = ROOT / "raft_actors" / "observe" / "diagram"
    parts = {path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.suffix in {".html", ".css", ".js"}}
    assert len(parts) > 10
    assert parts <= names_in(built.wheel_of_tree)


def test_wheel_installs_one_top_level_name(built: Built) -> None:
    top_level = {name.split("/")[0] for name in names_in(built.wheel_of_tree)}
    assert {name for name in top_level if not name.endswith(".dist-info")} == {"raft_actors"}


def test_wheel_is_typed_licensed_and_has_the_command(built: Built) -> None:
    wheel = built.wheel_of_tree
    assert "raft_actors/py.typed" in names_in(wheel)
    assert text_in(wheel, "licenses/LICENSE").startswith("MIT License")
    entry_points = configparser.ConfigParser()
    entry_points.read_string(text_in(wheel, "entry_points.txt"))
    assert dict(entry_points["console_scripts"]) == {"raft-actors": "raft_actors.cli.main:main"}


def test_library_requires_what_it_imports_and_nothing_else(built: Built) -> None:
    metadata = email.message_from_string(text_in(built.wheel_of_tree, "METADATA"))
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {line.split(">=")[0].removesuffix("[msgpack]") for line in required} == REQUIRED


def test_sdist_holds_each_module_once_with_the_tests_and_benchmarks(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    apart = ("tests/", "benchmarks/", "examples/", "docs/")
    packed = sorted(name for name in names if name.endswith(".py") and not name.startswith(apart))
    sources = {path for folder in ("raft_actors", *OUTLYING) for path in modules_under(folder)}
    assert packed == sorted(sources | {"setup.py"})
    assert {"tests/packaging/test_wheel.py", "benchmarks/__main__.py", "examples/counter/node.py"} <= set(names)


def test_the_tests_of_the_sdist_run_in_place(built: Built, tmp_path: Path) -> None:
    """All can be collected, and those that read other files of the repository find these. The folder has a space."""
    folder = tmp_path / "with a space"
    with tarfile.open(built.sdist) as archive:
        unpack(archive, folder)
    (root,) = folder.iterdir()
    links = [f"raft_actors/{name}" for name in OUTLYING]
    made = subprocess.run(["make", *links], cwd=root, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    sound = ["tests/docs/test_readme.py", "tests/docs/test_citations.py", "tests/mutations/test_mutations.py"]
    for arguments in (["--collect-only"], [*sound, "-k", "cited or named or link or target or left_alone or document"]):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *arguments]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:]


def test_the_lowest_versions_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["cli"], *extras["certs"], *extras["bench"], *extras["test-lowest"]]
    bounds = dict(line.replace("[msgpack]", "").replace("[toml]", "").split(">=") for line in wanted if ">=" in line)
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    lowest = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert lowest.keys() == bounds.keys()
    # "25.1" is 25.1.0; of one that was never released, the next.
    assert {name: version for name, version in lowest.items() if not f"{version}.".startswith(f"{bounds[name]}.")} == {}


def imported_by(path: Path) -> set[str]:
    """Return the top-level names of everything the file imports from elsewhere, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("folder", ["raft_actors", *OUTLYING])
def test_library_imports_only_what_it_requires(folder: str) -> None:
    foreign: dict[str, set[str]] = {}
    for module in modules_under(folder):
        extra = CLI_EXTRA if module.startswith("raft_actors/cli/") else TEST_TOOLS.get(module, set[str]())
        allowed = sys.stdlib_module_names | REQUIRED | extra | {"raft_actors"}
        if unexpected := imported_by(ROOT / module) - allowed:
            foreign[module] = unexpected
    assert foreign == {}


@pytest.mark.parametrize("folder", OUTLYING)
def test_bare_import_from_the_repository_root_names_the_remedy(folder: str) -> None:
    # A process of its own: in this one, pytest has the root on sys.path and the modules loaded.
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"ImportError: import raft_actors.{folder} instead of {folder}" in done.stderr
    assert "pip install -e ." in done.stderr


@pytest.mark.parametrize("folder", OUTLYING)
def test_installed_name_imports_from_anywhere(folder: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import raft_actors.{folder}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
