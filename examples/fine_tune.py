"""Teach a GPT-2 your own text with transformers, then put it on a device:

    python examples/fine_tune.py models/sample my-text.txt my-model --steps 100

Writes the fine-tuned checkpoint into my-model/checkpoint, the int4 package into my-model/package.
Prints the perplexity of the last tenth of the text, which it was not trained on, before and after,
and of the package: what the training gave, and what quantizing took of it.

Needs `pip install '.[export,optimum]'`. A hundred steps of the sample model take a minute on a CPU.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpt2_edge import Generator, GPT2EdgeError, perplexity
from gpt2_edge_export import ExportOptions, export_package


def windows(ids: list[int], size: int) -> torch.Tensor:
    """The ids in rows of `size`: [rows, size]."""
    rows = len(ids) // size
    if rows == 0:
        raise ValueError(f"the text has {len(ids)} tokens of this kind; {size} are needed or more")
    return torch.tensor(ids[: rows * size]).reshape(rows, size)


def train(model: Any, ids: list[int], steps: int, size: int, batch: int = 4) -> None:
    """Adam on random windows, its rate falling to zero; the loss to standard error."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rows = windows(ids, size)
    model.train()
    for step in range(1, steps + 1):
        chosen = rows[torch.randint(len(rows), (batch,))]
        loss = model(input_ids=chosen, labels=chosen).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 10 == 0:
            print(f"step {step} of {steps}, loss {loss.item():.3f}", file=sys.stderr)
    model.eval()


def float_perplexity(model: Any, ids: list[int], size: int) -> float:
    """Of all tokens but each window's first."""
    rows = windows(ids, size)
    with torch.no_grad():
        losses = [model(input_ids=row[None], labels=row[None]).loss.item() for row in rows]
    return math.exp(sum(losses) / len(losses))


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune a GPT-2 and export it.")
    parser.add_argument("checkpoint", help="a Hugging Face folder, or a name on the hub")
    parser.add_argument("text", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--window", type=int, default=128, help="tokens of a row")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    model = AutoModelForCausalLM.from_pretrained(arguments.checkpoint)
    ids = tokenizer(arguments.text.read_text(encoding="utf-8"))["input_ids"]
    held_out = len(ids) // 10
    training, rest = ids[:-held_out], ids[-held_out:]
    size = arguments.window
    before = float_perplexity(model, rest, size)
    train(model, training, arguments.steps, size)
    after = float_perplexity(model, rest, size)
    folder = arguments.output / "checkpoint"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    package = arguments.output / "package"
    # What it is calibrated on should read like what it will write.
    export_package(folder, package, ExportOptions(calibration=arguments.text, force=True))
    generator = Generator.load(package)
    quantized = perplexity(generator, rest[: len(rest) // size * size], size, size).perplexity
    print(f"perplexity before {before:.1f}, after {after:.1f}, in int4 {quantized:.1f}")
    print(generator.generate(tokenizer.decode(rest[:8]), max_new_tokens=40, seed=1))


if __name__ == "__main__":
    try:
        main()
    except (GPT2EdgeError, OSError, ValueError) as error:
        sys.exit(str(error))
