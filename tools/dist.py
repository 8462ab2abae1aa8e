"""make dist: the wheel and the sdist as a user gets them, built twice and tried on each Python.

    python tools/dist.py [--output dist]

Needs the extra [dist]. Both are built twice from the files that git knows, in different folders,
the second wheel from the sdist, and the bytes have to be the same; times in them are those of the
last commit.
New environments of Python 3.10 to 3.13, as far as these are on this machine, then install the wheel
by name from the folder: the runtime alone, and with [export], [grammar] and [server]. What such an
installation brings is listed beside the wheel, as an SBOM in CycloneDX's form.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
RUNTIME = ["numpy", "onnxruntime", "tokenizers"]
LICENCES = {"LICENSE", "licenses/README.md", "licenses/Unicode-3.0.txt"}
PAGE = "gpt2_edge_server/playground/"
LONGEST = 600  # seconds that a command may take


class DistError(Exception):
    """Something is not as a user should get it."""


def main() -> None:
    """Build, compare, describe, and try."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="FOLDER")
    output: Path = parser.parse_args().output.resolve()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpt2-edge-dist-") as name:
        work = Path(name)
        try:
            wheel, sdist = build(work)
            check_files(wheel)
            run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir(parents=True)
            wheel, sdist = (Path(shutil.copy2(file, output)) for file in (wheel, sdist))
            found = {version: path for version in PYTHONS if (path := find_python(version))}
            if not found:
                raise DistError(f"none of Python {', '.join(PYTHONS)} is on this machine")
            for version, python in found.items():
                trial = Trial(wheel, python, work / version)
                trial.export()
                trial.runtime()
                trial.grammar()
                trial.server()
                print(f"Python {version}: runtime, [export], [grammar] and [server] work")
            write_sbom(wheel, list(found.values())[-1], work / "sbom")
        except DistError as error:
            sys.exit(f"dist: {error}")
    for version in PYTHONS:
        if version not in found:
            print(f"Python {version}: not on this machine, so not tried")
    for file in sorted(output.iterdir()):
        print(f"{file.stat().st_size:9,} bytes  {file}")
    print(f"{time.monotonic() - started:.0f} s")


def build(work: Path) -> tuple[Path, Path]:
    """The wheel and the sdist; DistError unless a second build has the same bytes."""
    epoch = int(run("git", "log", "-1", "--format=%ct"))
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    first = build_one(copy_sources(work / "first"), work / "one", "--wheel", "--sdist")
    wheel, sdist = sorted(first.iterdir(), key=lambda file: file.suffix != ".whl")
    settle(sdist, epoch)
    again = build_one(copy_sources(work / "second" / "copy"), work / "two", "--sdist")
    settle(again / sdist.name, epoch)
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "third", filter="data")
    (unpacked,) = (work / "third").iterdir()
    build_one(unpacked, again, "--wheel")
    for file in (wheel, sdist):
        require_same(file, again / file.name)
    return wheel, sdist


def build_one(sources: Path, output: Path, *kinds: str) -> Path:
    """Let `python -m build` make `kinds` of `sources`, each in an environment of its own."""
    run(sys.executable, "-m", "build", *kinds, "--outdir", output, sources)
    return output


def copy_sources(folder: Path) -> Path:
    """The files that git knows, as they are now, with the rights that git keeps."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
            target.chmod(0o755 if os.access(ROOT / name, os.X_OK) else 0o644)
    return folder


def settle(sdist: Path, epoch: int) -> None:
    """Rewrite an sdist without what setuptools leaves to chance: times, owners and their order."""
    with tarfile.open(sdist) as archive:
        members = [(member, archive.extractfile(member)) for member in archive.getmembers()]
        contents = {member.name: (member, file.read() if file else b"") for member, file in members}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(contents):
            member, content = contents[name]
            clean = tarfile.TarInfo(name)
            clean.type, clean.size, clean.mtime = member.type, len(content), epoch
            clean.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            archive.addfile(clean, io.BytesIO(content))
    sdist.write_bytes(gzip.compress(packed.getvalue(), 9, mtime=epoch))


def require_same(first: Path, second: Path) -> None:
    """DistError, with the entries that differ, unless both files have the same bytes."""
    if first.read_bytes() == second.read_bytes():
        return
    one, two = contents_of(first), contents_of(second)
    differ = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
    what = ", ".join(differ[:5]) or "times, rights or order"
    raise DistError(f"{first.name} has other bytes when it is built again: {what}")


def contents_of(file: Path) -> dict[str, bytes]:
    """Name -> content of what a wheel or an sdist holds."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    with tarfile.open(file) as archive:
        files = ((member, archive.extractfile(member)) for member in archive.getmembers())
        return {member.name: content.read() for member, content in files if content is not None}


def check_files(wheel: Path) -> None:
    """DistError unless the licences and the page are inside, and the page asks nobody else."""
    files = contents_of(wheel)
    (metadata,) = (name for name in files if name.endswith(".dist-info/METADATA"))
    named = set(re.findall(r"^License-File: (.*)$", files[metadata].decode(), re.MULTILINE))
    folder = metadata.removesuffix("METADATA") + "licenses/"
    inside = {name.removeprefix(folder) for name in files if name.startswith(folder)}
    if not named == inside == LICENCES:
        raise DistError(f"licences: {sorted(inside)} are inside, and {sorted(LICENCES)} have to be")
    here = {path.relative_to(ROOT / "server").as_posix() for path in page_files()}
    packed = {name for name in files if name.startswith(PAGE)}
    if packed != here:
        raise DistError(f"the page: {sorted(packed ^ here)} are not both here and in the wheel")
    for name in sorted(packed):
        if addresses := outside(files[name].decode("utf-8")):
            raise DistError(f"{name} names {addresses[0]}; the page asks only its own server")


def page_files() -> Iterator[Path]:
    """The playground's files in this checkout."""
    for path in (ROOT / "server" / PAGE).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def outside(text: str) -> list[str]:
    """Addresses of other hosts in a page's file; XML's name spaces are never asked for."""
    found = re.findall(r"""(?:https?|wss?)://[^\s"'`)<>]+|["'(]//[\w-]+\.[^\s"'`)<>]+""", text)
    return [address for address in found if not address.startswith("http://www.w3.org/")]


def find_python(version: str) -> Path | None:
    """A Python of this version that runs: from PATH, or of pyenv."""
    root = os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv"
    candidates = sorted(Path(root).glob(f"versions/{version}.*/bin/python"))
    for candidate in [shutil.which(f"python{version}"), *candidates]:
        command = [str(candidate), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if (
            candidate
            and subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
            == version
        ):
            return Path(candidate)
    return None


class Trial:
    """What a user of one Python does with the wheel, in new environments in `folder`."""

    def __init__(self, wheel: Path, python: Path, folder: Path) -> None:
        self.wheel, self.python, self.folder = wheel, python, folder
        self.version = wheel.name.split("-")[1]
        self.package = folder / "sample-int4"

    def export(self) -> None:
        """[export]: models/sample becomes a package, and its self-test passes."""
        python = self.environment("export")
        quick = ("--no-calibration", "--no-report")
        self.edge(python, "export", ROOT / "models/sample", "-o", self.package, *quick)
        self.edge(python, "verify", self.package)

    def runtime(self) -> None:
        """No extra: three dependencies and what they need; the rest says how to get it."""
        python = self.environment("")
        brought = packages(python) - {"gpt2-edge"}
        alone = packages(install(self.python, self.folder / "alone", *RUNTIME))
        if brought != alone:
            raise DistError(f"the runtime brings {brought}, and {RUNTIME} alone {alone}")
        command = python.with_name("gpt2-edge")
        for told in (run(command, "--version"), self.edge(python, "--version")):
            if told.strip() != f"gpt2-edge {self.version}":
                raise DistError(f"--version says {told!r}")
        if not self.edge(python, "generate", self.package, "It was late", "-n", "8").strip():
            raise DistError("generate wrote nothing")
        for verb, extra in (("export", "export"), ("serve", "server")):
            told = self.edge(
                python, verb, self.package, *["-o", "x"] * (verb == "export"), status=2
            )
            if f"[{extra}]" not in told:
                raise DistError(f"without [{extra}], {verb} says {told!r}")

    def grammar(self) -> None:
        """[grammar]: a text that has to match does."""
        python = self.environment("grammar")
        told = self.edge(python, "generate", self.package, "He was", "--regex", " [0-9]{3}")
        if not re.search(r" [0-9]{3}\s*$", told):
            raise DistError(f"--regex ' [0-9]{{3}}' wrote {told!r}")

    def server(self) -> None:
        """[server]: every file of the page is served, under a policy that lets nobody else in."""
        python = self.environment("server")
        process = subprocess.Popen(
            [python, "-m", "gpt2_edge", "serve", self.package, "--port", "0"],
            cwd=self.folder,
            env=clean_variables(),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            address = re.search(r"http://[\d.:]+", line)
            if address is None:
                raise DistError(f"serve says {line + process.stderr.read()}")
            check_page(address[0], contents_of(self.wheel))
            process.terminate()
            if process.wait(LONGEST) != 128 + signal.SIGTERM:
                raise DistError(f"serve ended with {process.returncode}")
        finally:
            process.kill()
            process.wait()

    def environment(self, extra: str) -> Path:
        """The Python of a new environment with the wheel, installed by name from its folder."""
        name = f"gpt2-edge[{extra}]" if extra else "gpt2-edge"
        links = ("--find-links", self.wheel.parent, "--reinstall-package", "gpt2-edge")
        place = self.folder / (extra or "runtime")
        python = install(self.python, place, *links, f"{name}=={self.version}")
        record = f"gpt2_edge-{self.version}.dist-info/RECORD"
        installed = next(place.rglob(record)).read_text("utf-8").splitlines()
        built = contents_of(self.wheel)[record].decode().splitlines()
        if missing := set(built) - set(installed):
            raise DistError(f"another gpt2-edge was installed: {sorted(missing)[:3]} are not in it")
        return python

    def edge(self, python: Path, *arguments: object, status: int = 0) -> str:
        """What `python -m gpt2_edge` prints; for an expected error, its message."""
        return run(python, "-m", "gpt2_edge", *arguments, cwd=self.folder, status=status)


def check_page(address: str, wheel: dict[str, bytes]) -> None:
    """DistError unless the server at `address` gives the page as the wheel has it."""
    for name in ["", *(name.removeprefix(PAGE) for name in wheel if name.startswith(PAGE))]:
        with urllib.request.urlopen(f"{address}/{name}", timeout=LONGEST) as answer:
            if answer.read() != wheel[PAGE + (name or "index.html")]:
                raise DistError(f"the server's /{name} is not the wheel's")
            policy = answer.headers["content-security-policy"]
            if "default-src 'none'" not in policy or "http" in policy:
                raise DistError(f"/{name} has the policy {policy!r}")


def install(python: Path, folder: Path, *what: object) -> Path:
    """The Python of a new environment in `folder` with `what` installed."""
    run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", python, folder)
    made = folder / "bin" / "python"
    run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", made, *what)
    return made


def packages(python: Path) -> set[str]:
    """The names of what is installed."""
    told = run(sys.executable, "-m", "uv", "pip", "list", "--format", "json", "--python", python)
    return {str(package["name"]) for package in json.loads(told)}


def write_sbom(wheel: Path, python: Path, folder: Path) -> None:
    """Beside the wheel, what it brings with [export], [grammar] and [server] and nothing else."""
    version = wheel.name.split("-")[1]
    what = f"gpt2-edge[export,grammar,server]=={version}"
    made = install(python, folder, "--find-links", wheel.parent, what)
    told = run(
        sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible",
        "--pyproject", ROOT / "pyproject.toml", made,
    )  # fmt: skip
    bill = json.loads(told)
    bill["metadata"]["component"]["version"] = version  # pyproject.toml leaves it to the code
    names = {component["name"] for component in bill["components"]}
    if not {*RUNTIME, "onnx", "llguidance", "starlette"} <= names:
        raise DistError(f"the SBOM lists only {sorted(names)}")
    (wheel.parent / f"gpt2_edge-{version}.cdx.json").write_text(
        json.dumps(bill, indent=2) + "\n", "utf-8"
    )


def clean_variables() -> dict[str, str]:
    """The environment variables of a command that is to see nothing of this checkout."""
    dropped = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"GPT2_EDGE_CACHE": "", "HF_HUB_OFFLINE": "1", "UV_NATIVE_TLS": "1"}


def run(*command: object, cwd: Path = ROOT, status: int = 0) -> str:
    """What `command` prints, on its error stream where it has to fail."""
    process = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_variables(),
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    if process.returncode != status:
        shown = " ".join(str(part) for part in command)
        end = (process.stdout + process.stderr)[-2000:]
        raise DistError(f"$ {shown}\nexit status {process.returncode}, not {status}:\n{end}")
    return process.stderr if status else process.stdout


if __name__ == "__main__":
    main()
