r"""Train a GPT-2 of models/sample's shape from text files, and report its held-out loss.

    pip install -e '.[optimum]'
    python tools/train_sample.py books.txt.xz --heldout heldout.txt -o my-sample --tokens 25e6

Text files are UTF-8, plain or .xz. The tokenizer is trained on the same text unless --tokenizer
names one. Runs on CUDA where torch finds it, with bf16 autocast, else on the CPU in float32 (bf16
took three times as long there: a Xeon with AVX-512 BF16 and without AMX, Debian's torch 2.6). With
--minutes the learning rate falls with the clock, so that it ends when it must:

    python tools/train_sample.py train.txt.xz more.txt.xz --heldout heldout.txt -o my-sample \
        --minutes 7 --batch 64 --compile

--begin-with trains a checkpoint on, with its shape and tokenizer, and says its held-out loss first:

    python tools/train_sample.py train.txt.xz more.txt.xz --heldout heldout.txt -o further \
        --begin-with models/sample --minutes 60 --learning-rate 1e-3

A learning rate of 3e-3 with a batch of 64 diverged after 150M tokens.
"""

from __future__ import annotations

import argparse
import lzma
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
VOCAB_SIZE = 8192
SHAPE = {"n_layer": 6, "n_embd": 256, "n_head": 4, "n_positions": 512}
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 200
CONSTANT_UNTIL = 0.6  # of the steps; then linear
FINAL_RATE = 0.02  # of the learning rate
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.1  # on matrices only
CLIP_NORM = 1.0
HELDOUT_TOKENS = 30_720
REPORT_SECONDS = 15
COMPILING_STEPS = 5


def main() -> None:
    """Read, tokenize, train, report, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="+", type=Path)
    parser.add_argument("--heldout", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--tokens", type=float, default=25e6, help="to train on (default: 25e6)")
    amount.add_argument("--minutes", type=float, help="to train for, in place of --tokens")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--batch", type=int, default=8, help="sequences of the context a step")
    begun = parser.add_mutually_exclusive_group()
    begun.add_argument("--tokenizer", type=Path, help="a tokenizer.json to use as it is")
    begun.add_argument(
        "--begin-with", type=Path, metavar="FOLDER", help="a checkpoint to train on, tokenizer too"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)

    texts = [read(path) for path in arguments.text]
    known = arguments.begin_with / "tokenizer.json" if arguments.begin_with else arguments.tokenizer
    tokenizer = Tokenizer.from_file(str(known)) if known else train_tokenizer(texts)
    ids = encode(tokenizer, texts)
    heldout = encode(tokenizer, [read(arguments.heldout)])[:HELDOUT_TOKENS]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = begin(arguments.begin_with, tokenizer).to(device)
    window = model.config.n_positions
    steps = max(1, int(arguments.tokens) // (arguments.batch * window))
    plan = Plan(
        steps=None if arguments.minutes else steps,
        seconds=60 * (arguments.minutes or 0),
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        compiled=arguments.compile,
    )
    print(f"{model.num_parameters():,} parameters, {len(ids):,} tokens of text", flush=True)
    if arguments.begin_with:
        report(model, heldout)
    train(model, ids, plan, arguments.seed)
    report(model, heldout)
    save(model, tokenizer, arguments.output)


def begin(checkpoint: Path | None, tokenizer: Tokenizer) -> GPT2LMHeadModel:
    """The model in `checkpoint`, in float32 and without dropout; a new one of SHAPE without it."""
    undropped = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    if checkpoint is not None:
        return GPT2LMHeadModel.from_pretrained(checkpoint, dtype=torch.float32, **undropped)
    end = tokenizer.token_to_id(END_OF_TEXT)
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), **SHAPE, bos_token_id=end, eos_token_id=end,
        **undropped,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def report(model: GPT2LMHeadModel, heldout: np.ndarray) -> None:
    """Print the loss on text that was not trained on."""
    loss = heldout_loss(model, heldout)
    print(
        f"held-out loss {loss:.3f}, perplexity {math.exp(loss):.1f}, {len(heldout):,} tokens",
        flush=True,
    )


def read(path: Path) -> str:
    """The text in `path`, which may be compressed with xz."""
    data = path.read_bytes()
    return (lzma.decompress(data) if path.suffix == ".xz" else data).decode("utf-8")


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """GPT-2's kind of byte-level BPE, with END_OF_TEXT as token 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[AddedToken(END_OF_TEXT, special=True, normalized=False)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=sys.stderr.isatty(),
    )
    lines = (line for text in texts for line in text.splitlines(keepends=True))
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Ids of all texts, line by line (a whole book at once would be slow), END_OF_TEXT between."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    parts: list[np.ndarray] = []
    for text in texts:
        lines = tokenizer.encode_batch(text.splitlines(keepends=True))
        parts += [np.array(line.ids, np.uint16) for line in lines]
        parts.append(np.array([end], np.uint16))
    return np.concatenate(parts)


@dataclass(frozen=True)
class Plan:
    """How long to train (steps, or seconds where steps is None), and in what steps."""

    steps: int | None
    seconds: float
    batch: int
    learning_rate: float
    compiled: bool

    def progress(self, step: int, seconds: float) -> float:
        """The part that is done after `step` steps and `seconds`, 0 to 1."""
        return min(1.0, step / self.steps if self.steps else seconds / self.seconds)

    @property
    def warm_up(self) -> int:
        """Steps in which the rate of learning rises."""
        return min(WARM_UP_STEPS, max(1, self.steps // 10)) if self.steps else WARM_UP_STEPS


def train(model: GPT2LMHeadModel, ids: np.ndarray, plan: Plan, seed: int) -> None:
    """AdamW on random windows of the text, which lies where the model does."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=plan.learning_rate, betas=BETAS, fused=model.device.type == "cuda"
    )
    random = np.random.default_rng(seed)
    window = model.config.n_positions
    text = torch.from_numpy(ids.astype(np.int32)).to(model.device)
    offsets = torch.arange(window, device=model.device)

    def loss_of(inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=model.device.type == "cuda"):
            return model(inputs, labels=inputs).loss

    loss_function = torch.compile(loss_of) if plan.compiled else loss_of
    model.train()
    started = reported = time.monotonic()
    first, step, progress = 0, 0, 0.0
    while progress < 1:
        factor = min(1.0, (step + 1) / plan.warm_up) * rate(progress)
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * factor
        starts = random.integers(0, max(1, len(ids) - window), plan.batch)
        rows = torch.from_numpy(starts).to(model.device)[:, None] + offsets
        loss = loss_function(text[rows].long())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        step += 1
        if step == COMPILING_STEPS and plan.compiled:  # they took as long as compiling takes
            loss.item()
            started, first = time.monotonic(), step
        now = time.monotonic()
        progress = plan.progress(step, now - started)
        if now - reported > REPORT_SECONDS or progress == 1:
            value, reported = loss.item(), now
            speed = (step - first) * plan.batch * window / max(now - started, 1e-9)
            tokens = step * plan.batch * window
            print(
                f"{progress:.1%}  step {step}  {tokens:,} tokens  loss {value:.3f}  "
                f"{speed:.0f} tokens/s",
                flush=True,
            )


def rate(progress: float) -> float:
    """Factor on the learning rate behind the warm-up: constant, then linear to FINAL_RATE."""
    falling = max(0.0, progress - CONSTANT_UNTIL) / (1 - CONSTANT_UNTIL)
    return 1 - (1 - FINAL_RATE) * falling


@torch.no_grad()
def heldout_loss(model: GPT2LMHeadModel, ids: np.ndarray) -> float:
    """Mean negative log-likelihood in nats, in float32, over windows of the context length."""
    model.eval()
    total, count = 0.0, 0
    for start in range(0, len(ids) - 1, model.config.n_positions):
        part = ids[start : start + model.config.n_positions].astype(np.int64)
        if len(part) < 2:
            break
        inputs = torch.from_numpy(part)[None].to(model.device)
        total += model(inputs, labels=inputs).loss.item() * (len(part) - 1)
        count += len(part) - 1
    return total / count


def save(model: GPT2LMHeadModel, tokenizer: Tokenizer, folder: Path) -> None:
    """A Hugging Face folder with the weights in float16."""
    model.half().save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, unk_token=END_OF_TEXT,
        model_max_length=model.config.n_positions,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip


if __name__ == "__main__":
    main()
