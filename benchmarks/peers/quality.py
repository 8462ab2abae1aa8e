"""What quantizing costs, ours beside llama.cpp's: `make bench-peers-quality`.

    make bench-peers-quality
    make bench-peers-quality BENCH_PEERS="../my-model --text held-out.txt"

The same text in the same ids, cut into the same windows of the context length. llama-perplexity
looks at the second half of each window, so ours are measured there too, each engine against its own
float32; the way of our reports, which takes whole windows, stands beside it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from run import processor

from gpt2_edge import Generator
from gpt2_edge_export.measure.quality import Softmax
from gpt2_edge_export.texts import CALIBRATION_TEXT, REPORT_TEXT
from peers.engines import WORKERS, llama_variables
from peers.environments import LLAMA_FLAGS, ROOT, Environments, SetupError, outside_variables
from peers.formats import OURS, Formats, size
from peers.table import markdown

LLAMA = (
    ("Q8_0", False), ("Q5_K_M", False), ("Q4_K_M", False), ("Q4_K_M", True), ("Q4_0", False),
    ("Q4_0", True),
)  # fmt: skip
_ROWS = 64  # positions whose logits are worked on at once


@dataclass(frozen=True)
class Figures:
    """Over the second halves of the windows, and mean KL over all of them where it is known.

    kl, kl99: nats per token, the mean and what 99% stay under; top1: a share of 1.
    """

    megabytes: float
    kl: float
    kl99: float
    top1: float
    perplexity: float
    report_kl: float | None = None


def main() -> None:
    """Install, convert, measure, print."""
    parser = argparse.ArgumentParser(
        prog="make bench-peers-quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sample = ROOT / "models" / "sample"
    parser.add_argument("checkpoint", nargs="?", type=Path, default=sample)
    parser.add_argument("--text", type=Path, default=REPORT_TEXT, help="to measure on")
    parser.add_argument("--calibration", type=Path, default=CALIBRATION_TEXT)
    parser.add_argument("--tokens", type=int, default=20_480, help="of the text, at most")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench" / "peers")
    parser.add_argument("--llama-flags", default="", metavar="FLAGS", help=LLAMA_FLAGS)
    arguments = parser.parse_args()
    environments = Environments(arguments.work.resolve(), arguments.llama_flags)
    folder = environments.work / f"quality-{arguments.checkpoint.resolve().name}"
    formats = Formats(arguments.checkpoint.resolve(), folder, environments)
    try:
        ids, context = windows(formats, arguments.text, arguments.tokens)
    except SetupError as error:
        sys.exit(f"bench-peers-quality: {error}")
    count = len(ids) // context
    rows = [["", "model MB", "mean KL", "99% under", "same top-1", "perplexity", "report's KL"]]
    rows.append(["---"] * len(rows[0]))
    failed = []
    for name, measure in (
        *ours(formats, ids, context, arguments.calibration),
        *llamas(formats, arguments.text, arguments.calibration, context, count),
    ):
        print(f"measuring {name}", flush=True)
        try:
            rows.append([name, *cells(measure())])
        except (SetupError, OSError) as error:
            failed.append(f"- {name}: {error}")
            rows.append([name, "not measured, see below", "", "", "", "", ""])
    print("", *markdown(rows), "", *failed, sep="\n")
    print(
        f"\n{len(ids):,} tokens of {arguments.text.name} in {count} windows of {context}; "
        f"all but the last column: of each window the second half.\n"
        f"{processor()}, {datetime.date.today().isoformat()}."
    )


def windows(formats: Formats, text: Path, most: int) -> tuple[list[int], int]:
    """Ids of the text in whole windows, and the windows' size.

    Raises SetupError where the text is shorter than a window, or where llama.cpp's tokenizer makes
    other ids of it: the figures would not be of the same text.
    """
    config = json.loads((formats.checkpoint / "config.json").read_text("utf-8"))
    context = int(config["n_positions"])
    tokenizer = Generator.load(formats.ours("fp32")).tokenizer
    if tokenizer is None:
        raise SetupError(f"{formats.checkpoint} has no tokenizer for {text}")
    ids = tokenizer.encode(text.read_text("utf-8"), add_special_tokens=False)
    kept = ids[: min(len(ids), most) // context * context]
    if not kept:
        raise SetupError(f"{text} has {len(ids)} tokens, and a window has {context}")
    try:
        theirs = llama_ids(formats, text)
    except SetupError:
        return kept, context  # llama.cpp's rows will say why
    if theirs != ids:
        raise SetupError(f"llama.cpp makes {len(theirs)} ids of {text}, and we make {len(ids)}")
    return kept, context


def llama_ids(formats: Formats, text: Path) -> list[int]:
    """What llama.cpp's tokenizer makes of the text."""
    line = json.dumps({"model": str(formats.gguf("F32")), "text": str(text.resolve())})
    python = formats.environments.python("llama")
    process = subprocess.run(
        [str(python), str(WORKERS / "llama_ids.py")], input=line + "\n", capture_output=True,
        text=True, check=False, env=outside_variables() | llama_variables(formats.environments),
    )  # fmt: skip
    if process.returncode:
        raise SetupError(f"llama.cpp's tokenizer: {process.stderr.strip().splitlines()[-1]}")
    ids: list[int] = json.loads(process.stdout)["ids"]
    return ids


def ours(
    formats: Formats, ids: Sequence[int], context: int, calibration: Path
) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """Our recipes, calibrated as an export does."""
    for form in OURS:
        if form != "fp32":
            yield (
                f"ours {form}",
                lambda form=form: our_figures(  # type: ignore[misc]
                    formats.ours("fp32"), formats.ours(form, calibration), ids, context
                ),
            )


def our_figures(reference: Path, package: Path, ids: Sequence[int], context: int) -> Figures:
    """A package against the one in fp32, window by window."""
    models = [Generator.load(folder) for folder in (reference, package)]
    kl = np.empty((len(ids) // context, context))
    same, loss = np.empty(kl.shape, bool), np.empty((len(kl), context - 1))
    for number in range(len(kl)):
        window = ids[number * context : (number + 1) * context]
        both = [model.session.start(context).feed(window, keep=0) for model in models]
        for start in range(0, context, _ROWS):
            part = slice(start, start + _ROWS)
            p, q = (Softmax(logits[part]) for logits in both)
            kl[number, part] = p.divergence(q)
            same[number, part] = np.argmax(p.logits, -1) == np.argmax(q.logits, -1)
            targets = np.array(window[start + 1 : start + _ROWS + 1])
            likely = q.logits[np.arange(len(targets)), targets] - q.log_total[: len(targets)]
            loss[number, start : start + len(targets)] = -likely
    # llama-perplexity's: from the middle on, without the last, which predicts nothing.
    half = np.s_[:, context // 2 : context - 1]
    files = models[1].package.folder.glob("model.onnx*")
    return Figures(
        megabytes=sum(size(file) for file in files) / 1e6,
        kl=float(np.mean(kl[half])),
        kl99=float(np.quantile(kl[half], 0.99)),
        top1=float(np.mean(same[half])),
        perplexity=float(np.exp(np.mean(loss[half]))),
        report_kl=float(np.mean(kl)),
    )


def llamas(
    formats: Formats, text: Path, calibration: Path, context: int, count: int
) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """llama.cpp's types, without and with an importance matrix of our calibration's text."""
    for form, weighted in LLAMA:
        yield (
            f"llama.cpp {form}{', imatrix' if weighted else ''}",
            lambda form=form, weighted=weighted: llama_figures(  # type: ignore[misc]
                formats, form, text, calibration if weighted else None, context, count
            ),
        )


def llama_figures(
    formats: Formats, form: str, text: Path, calibration: Path | None, context: int, count: int
) -> Figures:
    """llama-perplexity's, against its own float32."""
    base = formats.logits(text, context, count)
    imatrix = None if calibration is None else formats.imatrix(calibration, context)
    model = formats.gguf(form, imatrix)
    compared = ["--kl-divergence", "--kl-divergence-base", str(base)]
    output = formats.llama_tool("llama-perplexity", model, context, *compared)
    return parse_perplexity(output, size(model) / 1e6)


def parse_perplexity(output: str, megabytes: float) -> Figures:
    """The figures out of what llama-perplexity prints. Raises SetupError where one is missing."""

    def figure(label: str) -> float:
        found = re.search(rf"^{label}\s*:\s*([-+.\deE]+)", output, re.MULTILINE)
        if found is None:
            raise SetupError(f"llama-perplexity printed no {label.replace(chr(92), '')}")
        return float(found[1])

    return Figures(
        megabytes=megabytes,
        kl=figure(r"Mean\s+KLD"),
        kl99=figure(r"99\.0%\s+KLD"),
        top1=figure(r"Same top p") / 100,
        perplexity=figure(r"Mean PPL\(Q\)"),
    )


def cells(figures: Figures) -> list[str]:
    """A row's cells behind its name."""
    return [
        f"{figures.megabytes:.2f}",
        f"{figures.kl:.5f}",
        f"{figures.kl99:.4f}",
        f"{100 * figures.top1:.1f}%",
        f"{figures.perplexity:.2f}",
        "" if figures.report_kl is None else f"{figures.report_kl:.5f}",
    ]


if __name__ == "__main__":
    main()
