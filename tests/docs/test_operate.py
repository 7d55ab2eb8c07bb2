"""What docs/operate tells to run can be run, and what it lists is complete."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import raft_actors
import raft_actors.persistence
import raft_actors.transports
from raft_actors import ConfigurationError, RaftError
from raft_actors.cli.main import make_parser
from raft_actors.cli.serve import Settings, settings_of
from tests.docs.test_readme import ROOT

FOLDER = ROOT / "docs" / "operate"
UNIT = FOLDER / "raft-actors@.service"


def understood(words: list[str]) -> Settings:
    """What `serve` makes of these words: it would go on to open the store."""
    return settings_of(make_parser().parse_args(["serve", *words]))


def setting(text: str, name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return str(found)


def test_the_unit_starts_a_node_with_the_settings_that_its_file_has() -> None:
    unit, text = UNIT.read_text(encoding="utf-8"), (FOLDER / "deploying.md").read_text(encoding="utf-8")
    program, command, *arguments = setting(unit, "ExecStart").split()
    assert program.endswith("/raft-actors")
    assert command == "serve"
    assert setting(unit, "EnvironmentFile") in text
    words = " ".join(arguments).replace("%i", "n3").replace("${STATE_DIRECTORY}", "/var/lib/x")
    for name in ("CLUSTER", "SECURITY"):
        words = words.replace(f"${name}", setting(text, name))
    settings = understood(words.split())
    assert (settings.cluster.cluster_id, sorted(settings.cluster.voters)) == ("kv", ["n1", "n2", "n3"])
    assert str(settings.data) == "/var/lib/x/n3.db"
    assert settings.tls is not None
    without = words.replace(setting(text, "SECURITY"), "")
    with pytest.raises(ConfigurationError, match="--insecure"):
        understood(without.split())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = setting(UNIT.read_text(encoding="utf-8"), "ExecStart").split()[0]
    some_program = "/bin/sh"  # not this Python: the folder that it is in may have a name with spaces
    unit = tmp_path / "raft-actors@n1.service"
    unit.write_text(UNIT.read_text(encoding="utf-8").replace(program, some_program), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    mine = [line for line in done.stderr.splitlines() if "raft-actors" in line]
    assert mine == []


def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    return found


def test_compose_starts_nodes_as_the_command_line_knows_them() -> None:
    services = compose()["services"]
    clusters = set()
    for name, service in services.items():
        settings = understood(service["command"])
        assert str(settings.data) == f"/data/{name}.db"
        assert f"--id={name}" in service["command"]
        assert service["volumes"] == [f"{name}:/data"]
        clusters.add(json.dumps([word for word in service["command"] if word.startswith(("--node", "--cluster"))]))
    assert len(clusters) == 1
    assert set(compose()["volumes"]) == set(services)


def test_compose_fits_its_specification() -> None:
    pytest.importorskip("check_jsonschema")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            str(FOLDER / "compose.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_image_has_what_it_copies_and_starts_the_command() -> None:
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    instructions = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT"}
    assert {word for word, _ in instructions} <= known
    (entry,) = (json.loads(rest) for word, rest in instructions if word == "ENTRYPOINT")
    assert entry == ["raft-actors", "serve"]
    assert (ROOT / "constraints.txt").is_file()
    users = [rest for word, rest in instructions if word == "USER"]
    assert users
    assert f" {users[0]} " in text  # who is added before
    ports = {
        word.rpartition(":")[2] for node in compose()["services"]["n1"]["command"][1:4] for word in node.split(",")
    }
    assert {rest for word, rest in instructions if word == "EXPOSE"} == {" ".join(sorted(ports, reverse=True))}


HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.mark.skipif(not HADOLINT.exists(), reason="there is no hadolint")
def test_a_linter_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run(
        [str(HADOLINT), "--no-color", str(FOLDER / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_commands_that_are_named_are_there() -> None:
    text = " ".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md"))
    named = set(re.findall(r"`raft-actors ([a-z]+)", text))
    assert named
    for command in named:
        with pytest.raises(SystemExit) as shown:
            make_parser().parse_args([command, "--help"])
        assert shown.value.code == 0, command


def test_each_error_is_said_once_what_to_do_about() -> None:
    text = (FOLDER / "errors.md").read_text(encoding="utf-8").partition("\n## Log lines\n")[0]
    firsts = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    errors = [
        name
        for module in (raft_actors, raft_actors.persistence, raft_actors.transports)
        for name in module.__all__
        if isinstance(found := getattr(module, name), type) and issubclass(found, RaftError)
    ]
    assert sorted(re.findall(r"`(\w+)`", firsts)) == sorted(set(errors))
