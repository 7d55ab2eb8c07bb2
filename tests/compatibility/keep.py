"""Keeps a wheel of this commit, for later versions to be tried against: python -m tests.compatibility.keep"""

from __future__ import annotations

import argparse
import io
import lzma
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from raft_actors.persistence.sqlite.migrations import SCHEMA_VERSION
from raft_actors.transports.wire.handshake import NEWEST_VERSION
from tests.archives import unpack as unpack_tar

ROOT = Path(__file__).parents[2]
WHEELS = Path(__file__).parent / "wheels"

_NO_DATE = (1980, 1, 1, 0, 0, 0)


def build(ref: str, folder: Path) -> Path:
    """Build a wheel of what is committed: neither what was forgotten to be, nor what lies about."""
    packed = subprocess.run(["git", "archive", ref], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        unpack_tar(archive, folder / "tree")
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--outdir",
        str(folder),
        str(folder / "tree"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: no wheel could be built:\n{done.stdout}{done.stderr}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def traces_of(wheel: Path, *places: Path) -> list[str]:
    """Which files in a wheel name a folder of the machine that it was built on."""
    with zipfile.ZipFile(wheel) as archive:
        return [
            name for name in archive.namelist() if any(str(place).encode() in archive.read(name) for place in places)
        ]


def squeezed(wheel: Path) -> bytes:
    """The wheel, its files packed all together rather than one by one, which takes little more than half as much."""
    packed = io.BytesIO()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as new:
        for name in sorted(old.namelist()):
            new.writestr(zipfile.ZipInfo(name, _NO_DATE), old.read(name))
    return lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def unpack(kept: Path, folder: Path) -> Path:
    """Put a kept wheel's packages into a folder, for PYTHONPATH; return it."""
    with zipfile.ZipFile(io.BytesIO(lzma.decompress(kept.read_bytes()))) as archive:
        archive.extractall(folder)
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module's text. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.compatibility.keep", description=__doc__)
    parser.add_argument("--into", type=Path, default=WHEELS, metavar="FOLDER", help="(default: where the tests look)")
    into: Path = parser.parse_args(arguments).into
    if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "*.py"], cwd=ROOT, check=False).returncode:
        raise SystemExit(
            "error: there are changes that are not committed: the wheel would be of another code than this"
        )
    with tempfile.TemporaryDirectory() as folder:
        wheel = build("HEAD", Path(folder))
        if traces := traces_of(wheel, ROOT, Path(folder)):
            raise SystemExit(f"error: the wheel names folders of this machine, in {', '.join(traces)}")
        name = wheel.name.removesuffix("-py3-none-any.whl")
        kept = into / f"{name}-wire{NEWEST_VERSION}-schema{SCHEMA_VERSION}.whl.xz"
        kept.write_bytes(squeezed(wheel))
    sys.stdout.write(f"{kept}: {kept.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
