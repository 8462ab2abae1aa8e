"""Environments of the peers: what PyPI has, each in a folder of its own, made once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "openvino": ("openvino-genai==2026.4.1.0", "numpy"),
    "ctranslate2": ("ctranslate2==4.8.5", "numpy"),
    "genai": ("onnxruntime-genai==0.18.0", "onnxruntime==1.32.0", "numpy"),
}
# It takes transformers 4.57 and any torch from 2.1 on, so Debian's: later ones want torchvision,
# which PyPI has for its own torch only.
CONVERTERS = (
    "optimum-intel==1.27.0",
    "nncf",
    "openvino==2026.4.1",
    "openvino-tokenizers",
    "ctranslate2==4.8.5",
)
LLAMA_CPP = "llama-cpp-python==0.3.36"
LLAMA_NEEDS = ("numpy", "typing-extensions", "diskcache", "jinja2", "gguf", "safetensors")
LLAMA_TARGETS = (
    "llama", "llama-bench", "llama-perplexity", "llama-imatrix", "llama-quantize"
)  # fmt: skip
LLAMA_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DGGML_NATIVE=ON",
    "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
)  # fmt: skip
LLAMA_FLAGS = (
    "for llama.cpp's compilers (where AMX fails: -mno-amx-tile -mno-amx-int8 -mno-amx-bf16)"
)


class SetupError(Exception):
    """What could not be installed, built or converted, in one line."""


class Environments:
    """The folders under `work`; `python` returns an environment's once what it needs is there.

    It raises SetupError, and the same again without another try when it is asked again.
    llama_flags: for the compilers of llama.cpp, beside GGML_NATIVE's.
    """

    def __init__(self, work: Path, llama_flags: str = "") -> None:
        self.work, self._llama_flags = work, llama_flags
        self._failed: dict[str, str] = {}

    def python(self, name: str) -> Path:
        """The Python of the environment `name`: "torch", "llama", or a key of PACKAGES."""
        if name in self._failed:
            raise SetupError(self._failed[name])
        make = {"torch": self._torch, "llama": self._llama}.get(name, self._from_pypi)
        try:
            make(name)
        except SetupError as error:
            self._failed[name] = str(error)
            raise
        return self.work / name / "bin" / "python"

    @property
    def llama_source(self) -> Path:
        """llama-cpp-python's sources, its own llama.cpp in vendor/."""
        return self.work / "llama" / f"llama_cpp_python-{LLAMA_CPP.rpartition('=')[2]}"

    @property
    def llama_bin(self) -> Path:
        """Where llama.cpp's tools and libraries are."""
        return self.work / "llama" / "build" / "bin"

    def _from_pypi(self, name: str) -> None:
        def make() -> None:
            run([sys.executable, "-m", "venv", "--clear", str(self.work / name)])
            self._pip(name, *PACKAGES[name])

        self._once(name, PACKAGES[name], make)

    def _torch(self, name: str) -> None:
        """As `make test-optimum` has it, and what converts to the peers' formats."""

        def make() -> None:
            folder = self.work / name
            python = str(folder / "bin" / "python")
            tool = str(ROOT / "tools" / "optimum-venv.sh")
            run([tool, str(folder)], {"PYTHON": sys.executable})
            wheels = folder / "debian" / "usr" / "share" / "python-wheels"
            bundled = next(wheels.glob("pip-*.whl"), None)
            pip = ["-m", "pip"] if bundled is None else [str(bundled / "pip")]
            # torch stays what it is: pip would fetch the one with CUDA.
            version = "from importlib.metadata import version; print(version('torch'))"
            constraints = self.work / "torch.txt"
            constraints.write_text(f"torch=={run([python, '-c', version])}\n", "utf-8")
            install = ["install", "--quiet", "--no-compile", "-c", str(constraints)]
            run([python, *pip, *install, *CONVERTERS])

        self._once(name, CONVERTERS, make)

    def _llama(self, name: str) -> None:
        """llama.cpp with this machine's instructions, and the Python bindings on top of it."""

        def make() -> None:
            folder = self.work / name
            if not (folder / "bin" / "python").exists():
                run([sys.executable, "-m", "venv", str(folder)])
            self._pip(name, *LLAMA_NEEDS)
            if not self.llama_source.is_dir():
                download = ["download", "--quiet", "--no-deps", "--no-build-isolation"]
                self._pip(name, "scikit-build-core", "flit-core")
                source = ["--no-binary", ":all:", "-d", str(folder), LLAMA_CPP]
                run([str(folder / "bin" / "python"), "-m", "pip", *download, *source])
                (archive,) = folder.glob("llama_cpp_python-*.tar.gz")
                shutil.unpack_archive(archive, folder, filter="data")
            self._build_llama()

        flags = (self._llama_flags,) if self._llama_flags else ()
        self._once(name, (LLAMA_CPP, *LLAMA_OPTIONS, *LLAMA_NEEDS, *flags), make)

    def _build_llama(self) -> None:
        """Build the library and the tools; what is built already stays."""
        if not shutil.which("cmake"):
            raise SetupError("building llama.cpp needs cmake and a C++ compiler")
        build = self.work / "llama" / "build"
        source = self.llama_source / "vendor" / "llama.cpp"
        given = [f"-DCMAKE_{language}_FLAGS={self._llama_flags}" for language in ("C", "CXX")]
        run(["cmake", "-S", str(source), "-B", str(build), *LLAMA_OPTIONS, *given])
        jobs = f"-j{os.cpu_count() or 1}"
        run(["cmake", "--build", str(build), jobs, "--target", *LLAMA_TARGETS])

    def _pip(self, name: str, *packages: str) -> None:
        python = self.work / name / "bin" / "python"
        options = ["--quiet", "--disable-pip-version-check", "--no-compile"]
        run([str(python), "-m", "pip", "install", *options, *packages])

    def _once(self, name: str, parts: tuple[str, ...], make: Callable[[], None]) -> None:
        """Make it unless the mark, which is written last, says that it is there."""
        mark = self.work / f"{name}.ready"
        wanted = hashlib.sha256(" ".join(parts).encode()).hexdigest()
        if not mark.is_file() or mark.read_text("utf-8") != wanted:
            print(f"setting up {name}", flush=True)
            mark.unlink(missing_ok=True)
            self.work.mkdir(parents=True, exist_ok=True)
            make()
            mark.write_text(wanted, "utf-8")


def run(
    command: list[str], environment: dict[str, str] | None = None, own_path: bool = False
) -> str:
    """Standard output of a command. Raises SetupError with the last line of what it complained.

    own_path: it is our own Python, and keeps where it finds gpt2_edge.
    """
    variables = outside_variables(own_path)
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False,
            env=variables | (environment or {}),
        )  # fmt: skip
    except OSError as error:
        raise SetupError(f"{Path(command[0]).name}: {error.strerror}") from error
    if process.returncode:
        lines = (process.stderr.strip() or process.stdout.strip()).splitlines()
        last = lines[-1][:160] if lines else f"status {process.returncode}"
        raise SetupError(f"{Path(command[0]).name}: {last}")
    return process.stdout.strip()


def outside_variables(own_path: bool = False) -> dict[str, str]:
    """The environment's variables without make's, and without our modules for other Pythons."""
    hidden = {"MAKEFLAGS", "MAKELEVEL"} | (set() if own_path else {"PYTHONPATH"})
    return {name: value for name, value in os.environ.items() if name not in hidden}
