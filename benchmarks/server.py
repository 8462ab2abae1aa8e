"""What `gpt2-edge serve` gives one client, and eight at the same time.

    python benchmarks/server.py                     124M in int4, without a calibration
    python benchmarks/server.py --llama build/bin/llama-server --gguf .bench/124M.gguf
                                                    llama.cpp's server beside it
    python benchmarks/server.py --soak 10           ten minutes of mixed and of wrong requests

All measurements take turns round by round, and the table shows medians over the rounds. Weights
and prompts are random; each text is streamed, and its tokens are counted by the server's own usage.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import random
import re
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import onnxruntime
from random_checkpoint import SHAPES, write_random_checkpoint
from random_tokenizer import write_random_tokenizer
from run import ROOT, gpt2_edge, processor
from server_load import Completion, together
from server_soak import Report, soak

VOCABULARY = 50257
PROMPT, NEW = 32, 128  # tokens
CLIENTS = 8
_STARTING = 120.0  # seconds


@dataclass(frozen=True)
class Figures:
    """Of some clients at the same time. rate: tokens per second of all; first: seconds until a
    text's first token, in the median.
    """

    rate: float
    first: float


def main() -> None:
    """Export what is missing, measure or soak, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="124M")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=ROOT / ".bench")
    parser.add_argument("--package", type=Path, help="serve this one")
    parser.add_argument("--llama", type=Path, help="llama.cpp's llama-server, or a Python "
                        "that has xllamacpp")  # fmt: skip
    parser.add_argument("--gguf", type=Path, help="what it serves; see benchmarks/gguf_model.py")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    arguments = parser.parse_args()
    arguments.work.mkdir(exist_ok=True)
    if arguments.soak is not None:
        package = arguments.package or sample_package(arguments.work)
        sys.exit(soaked(package, arguments.soak))
    if (arguments.llama is None) != (arguments.gguf is None):
        parser.error("--llama and --gguf go together")
    package = arguments.package or random_package(arguments.work, arguments.shape)
    with contextlib.ExitStack() as stack:
        url, _ = stack.enter_context(serving(package))
        servers = {"gpt2-edge": url}
        if arguments.llama is not None:
            llama = stack.enter_context(llama_server(arguments.llama, arguments.gguf))
            servers["llama-server"] = llama
        measured = asyncio.run(rounds(servers, arguments.rounds))
    print_table(f"{arguments.shape} int4", measured)


def sample_package(work: Path) -> Path:
    """models/sample in int4."""
    package = work / "server-sample-int4"
    if not (package / "manifest.json").is_file():
        source = str(ROOT / "models" / "sample")
        gpt2_edge("export", source, "-o", str(package), "--no-calibration", "--no-report")
    return package


def random_package(work: Path, shape: str) -> Path:
    """A package of the shape with random weights and a tokenizer."""
    package, checkpoint = work / f"server-{shape}-int4", work / f"random-{shape}"
    if (package / "manifest.json").is_file():
        return package
    print(f"exporting {shape} int4", flush=True)
    if not (checkpoint / "model.safetensors").is_file():
        write_random_checkpoint(shape, checkpoint)
    tokenizer = write_random_tokenizer(VOCABULARY, work / "tokenizer.json")
    options = ["--recipe", "int4", "--no-calibration", "--no-report", "--force"]
    gpt2_edge(
        "export", str(checkpoint), "-o", str(package), *options, "--tokenizer", str(tokenizer)
    )
    return package


@contextlib.contextmanager
def serving(package: Path, *options: object) -> Iterator[tuple[str, int]]:
    """`gpt2-edge serve`, with its URL and the number of its process."""
    command = [sys.executable, "-m", "gpt2_edge", "serve", str(package), "--port", "0"]
    process = subprocess.Popen(
        [*command, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    assert process.stdout is not None
    with process, _ended(process):
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                wait_for(f"{found[0]}/health")
                yield found[0], process.pid
                return
            print(line, end="", file=sys.stderr)
        raise SystemExit("gpt2-edge serve did not start")


@contextlib.contextmanager
def llama_server(program: Path, model: Path) -> Iterator[str]:
    """llama.cpp's server with a place for each of the clients."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "-m", model, "--host", "127.0.0.1", "--port", port, "-np", CLIENTS]
    command += ["-c", 1024 * CLIENTS, "-t", os.cpu_count()]
    if program.name.startswith("python"):
        script = ROOT / "benchmarks" / "llama_server.py"
        command = [program, script, model, port, CLIENTS, os.cpu_count()]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*map(str, command)], **quiet) as process, _ended(process):  # type: ignore[call-overload]
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()


def wait_for(url: str) -> None:
    """Until a GET of `url` is answered with 200."""
    end = time.monotonic() + _STARTING
    while time.monotonic() < end:
        try:
            with urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.2)
    raise SystemExit(f"{url} does not answer")


async def rounds(servers: dict[str, str], count: int) -> dict[tuple[str, int], Figures]:
    """Medians by (server, number of clients)."""
    chance = random.Random(0)
    found: dict[tuple[str, int], list[Figures]] = defaultdict(list)
    for number in range(count + 1):  # the first warms up
        print(f"measuring, round {number} of {count}" if number else "warming up", flush=True)
        for server, url in servers.items():
            for clients in (1, CLIENTS):
                prompts = [chance.choices(range(300, 50000), k=PROMPT) for _ in range(clients)]
                figures = figures_of(*await together(url, prompts, NEW, temperature=0))
                if number:
                    found[server, clients].append(figures)
    return {key: medians(each) for key, each in found.items()}


def figures_of(seconds: float, texts: Sequence[Completion]) -> Figures:
    """What texts that were written at the same time come to."""
    tokens = sum(text.tokens for text in texts)
    if tokens != NEW * len(texts):
        raise SystemExit(f"{tokens} tokens came back for {len(texts)} texts of {NEW}")
    return Figures(tokens / seconds, statistics.median(text.first for text in texts))


def medians(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    return Figures(
        statistics.median(each.rate for each in rounds),
        statistics.median(each.first for each in rounds),
    )


def print_table(name: str, measured: dict[tuple[str, int], Figures]) -> None:
    """A Markdown table, and where it was measured."""
    print(f"\n| {name}, {PROMPT} + {NEW} tokens | clients | tokens/s | of one | first token |")
    print("| --- | --- | --- | --- | --- |")
    for (server, clients), figures in measured.items():
        ratio = figures.rate / measured[server, 1].rate
        print(
            f"| {server} | {clients} | {figures.rate:.0f} | {ratio:.2f} "
            f"| {1000 * figures.first:.0f} ms |"
        )
    ours = measured.get(("gpt2-edge", CLIENTS))
    theirs = measured.get(("llama-server", CLIENTS))
    if ours and theirs:
        alone = measured["gpt2-edge", 1].rate / measured["llama-server", 1].rate
        print(f"\ngpt2-edge : llama-server, 1 client: {alone:.2f}; "
              f"{CLIENTS}: {ours.rate / theirs.rate:.2f}")  # fmt: skip
    print(
        f"\nONNX Runtime {onnxruntime.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, {processor()}."
    )


def soaked(package: Path, minutes: float) -> int:
    """Soak a server of `package`; 1 where it failed, kept a text or grew."""
    with serving(package) as (url, pid):
        report = asyncio.run(soak(url, 60 * minutes, pid))
    print_report(report)
    # The first samples are of a server that is still filling its caches.
    samples = report.samples
    grown = samples[-1].memory > 1.25 * samples[min(2, len(samples) - 1)].memory
    kept = report.left["gpt2_edge_running"] or report.left["gpt2_edge_waiting"]
    return int(bool(report.failures or kept or grown))


def print_report(report: Report) -> None:
    """Statuses by kind of client (0: no answer), and samples of the process."""
    statuses = sorted({status for _, status in report.statuses})
    print("| client | " + " | ".join(map(str, statuses)) + " |")
    print("| --- |" + " --- |" * len(statuses))
    for name in sorted({name for name, _ in report.statuses}):
        counts = [report.statuses[name, status] for status in statuses]
        print(f"| {name} | " + " | ".join(str(count or "") for count in counts) + " |")
    print("\n| minute | memory | threads | files |\n| --- | --- | --- | --- |")
    for each in report.samples:
        memory = f"{each.memory / 1e6:.0f} MB"
        print(f"| {each.seconds / 60:.1f} | {memory} | {each.threads} | {each.files} |")
    left = {name: report.left[f"gpt2_edge_{name}"] for name in ("running", "waiting", "rows")}
    print(f"\nafterwards: {left}")
    print(f"ONNX Runtime {onnxruntime.__version__}, {os.cpu_count()} cores, {processor()}.")


if __name__ == "__main__":
    main()
