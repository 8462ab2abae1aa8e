"""make demo: export the sample model on this machine, watch it write, see what it cost."""

from __future__ import annotations

import math
import shlex
import subprocess
import sys
import time
from pathlib import Path

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = Path("models/sample")
PACKAGE = Path(".demo/sample-int4")
PROMPT = "It was late in the evening when the old man opened the door, and"
CONFIG = GenerationConfig(max_new_tokens=160, temperature=0.8, top_p=0.9, seed=20, ignore_eos=True)


def main() -> None:
    """Export, write, measure, and say what to do next."""
    (ROOT / PACKAGE.parent).mkdir(exist_ok=True)
    command("export", str(CHECKPOINT), "-o", str(PACKAGE), "--recipe", "int4", "--force")
    command("next", str(PACKAGE), '"What do you', "-k", "4")
    started = time.perf_counter()
    generator = Generator.load(ROOT / PACKAGE)
    load_seconds = time.perf_counter() - started
    print(f"\n{PROMPT}", end="", flush=True)
    stream = generator.stream(PROMPT, CONFIG)
    for piece in stream:
        print(piece, end="", flush=True)
    result = stream.result
    print("\n")

    quality = generator.manifest.quality
    assert quality is not None
    fp32_megabytes = 4e-6 * sum(
        math.prod(shape)
        for shape in open_checkpoint(ROOT / CHECKPOINT).config.tensor_shapes().values()
    )
    print(
        f"size      {generator.package.total_bytes / 1e6:.1f} MB with its tokenizer "
        f"(weights in float32: {fp32_megabytes:.1f} MB)\n"
        f"quality   on {quality['tokens']:,} held-out tokens: perplexity "
        f"{quality['perplexity']:.1f} (fp32: {quality['reference_perplexity']:.1f}), KL "
        f"{quality['mean_kl']:.4f} nats per token; {100 * quality['top1']:.0f}% of the time it "
        "would have chosen the same word as the original\n"
        f"speed     {result.decode_tokens_per_second:.0f} tokens per second, loaded in "
        f"{1e3 * load_seconds:.0f} ms, first token after {1e3 * result.prompt_seconds:.0f} ms\n"
        f"\nanother prompt:\n"
        f'  {shown(sys.executable)} generate {PACKAGE} "The sea" --temperature 0.8 -n 200'
    )


def shown(python: str) -> str:
    """The command as a user of this checkout can type it."""
    path = Path(python).with_name("gpt2-edge")
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else "gpt2-edge"


def command(*arguments: str) -> None:
    """Show a gpt2-edge command and run it."""
    print(f"$ gpt2-edge {shlex.join(arguments)}", flush=True)
    status = subprocess.run(
        [sys.executable, "-m", "gpt2_edge", *arguments], cwd=ROOT, check=False
    ).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
