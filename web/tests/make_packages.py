"""What the tests compare with: packages, and what Python's runtime makes of them.

$PYTHON web/tests/make_packages.py FOLDER

Writes one package a folder and expected.json. Kernels differ between ONNX Runtime's builds: in
int8 and int4 they round differently, and logits move by up to a few tenths. So the texts are
chosen here, on the machine that tests, by how clear each of their decisions is, and expected.json
says how clear.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime import InferenceSession, SessionOptions

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.measure.score import score_tokens
from gpt2_edge.sampling import SplitMix64, candidates, largest, make_chooser, top_p_truncation

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
from gpt_neo import neo_of_gpt2  # noqa: E402
from helpers import random_config, write_random_checkpoint  # noqa: E402

SAMPLE = ROOT / "models" / "sample"
TOKENS = 60
SEEDS = 150
FEWEST_DRAWS = 20
# By how much logits are moved to see whether a draw stays the same, and how often.
QUANTIZED_MARGIN = 0.07
FLOAT_MARGIN = 0.001
MOVES = 12
PROMPTS = (
    "It was a bright morning, and",
    "The old man sat by the fire and",
    '"What do you mean?" said the',
    "She looked at him, and then",
    "In the middle of the night the",
    "There was once a little boy who",
    "The ship was in sight of land when",
    "CHAPTER I\n\n",
    "I have never seen such a",
    "He opened the door and went into the",
)
# Packages whose draws are compared too, each with seeds chosen for it; more would take minutes.
SAMPLED = ("fp32", "int8", "int4")
# Whose tokens are scored, and attend to each other.
CONTEXT = "The animal didn't cross the street, because it was too tired \U0001f642."
ATTENTIVE = ("fp32", "int4", "portable", "gpt-neo")
# Texts in which tokenizers may differ: spaces, contractions, scripts, emoji, controls.
TEXTS = (
    "Hello, world! It's John's 3rd day; they'll've won, I'd say.",
    "  two spaces, a\ttab\n\n\nlines \r\n and the end   ",
    "naïve café – “quoted” … 10€ ½ ² x³",
    "日本語のテキスト、中文文本, 한국어, ไทย, हिन्दी, עברית, العربية, Ελληνικά, Кириллица",
    "🙂👍🏽👨‍👩‍👧‍👦🇫🇷 e\u0301 vs é",
    "spaces:\u00a0\u1680\u2003\u2028\u3000\u202f\u205f. next\u0085line, \ufeffmark\ufeff word",
    "\x00\x01\x1c\x1f\x7f controls \x0b\x0c",
    "<|endoftext|>Once<|endoftext|> upon<|endoftext",
    "'S 'T I'M WE'RE don't ''ll '",
    "١٢٣ Ⅷ ① 1234567890",
)

PACKAGES: dict[str, tuple[str, ...]] = {
    "fp32": ("--recipe", "fp32"),
    "int8": ("--recipe", "int8"),
    "int4": ("--recipe", "int4"),
    "int8-row": ("--recipe", "int8-row", "--no-calibration"),
    "cache-float16": ("--recipe", "fp32", "--cache-dtype", "float16"),
    "cache-int8": ("--recipe", "fp32", "--cache-dtype", "int8"),
    "portable": ("--recipe", "int4", "--flavour", "portable", "--no-calibration"),
    "static": ("--recipe", "fp32", "--flavour", "static"),
}
# The sample's weights as a GPT-Neo whose every second layer sees so many tokens.
NEO_WINDOW = 8
NEO_PACKAGES: dict[str, tuple[str, ...]] = {
    "gpt-neo": ("--recipe", "fp32"),
    "gpt-neo-int4": ("--recipe", "int4", "--no-calibration"),
    "gpt-neo-portable": ("--recipe", "fp32", "--flavour", "portable"),
}


def export(folder: Path, options: Sequence[str], checkpoint: Path = SAMPLE) -> None:
    command = (sys.executable, "-m", "gpt2_edge", "export", str(checkpoint), "-o", str(folder))
    subprocess.run((*command, *options, "--no-report", "--force"), check=True)


def changed(
    package: Path, folder: Path, change: Callable[[onnx.ModelProto], None], weights: str = ""
) -> None:
    """A copy of `package` with `change` made to its graph; `weights` names a file for weights."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package, folder)
    model = onnx.load(folder / "model.onnx")
    change(model)
    onnx.save_model(
        model,
        folder / "model.onnx",
        save_as_external_data=bool(weights),
        location=weights or None,
        size_threshold=1024,
    )
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for name in ("model.onnx", weights) if weights else ("model.onnx",):
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"bytes": len(content), "sha256": digest}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def no_change(model: onnx.ModelProto) -> None:
    pass


def without_numbers(model: onnx.ModelProto) -> None:
    """Makes every logit NaN: the last layer norm's bias is."""
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "ln_f.bias")
    nan = np.full_like(onnx.numpy_helper.to_array(bias), np.nan)
    bias.CopyFrom(onnx.numpy_helper.from_array(nan, bias.name))


def with_hidden_positions(model: onnx.ModelProto) -> None:
    """Puts the table of positions behind a product, so that only a run tells its size."""
    gather = next(node for node in model.graph.node if "position_ids" in node.input)
    one = onnx.numpy_helper.from_array(np.ones(1, np.float32), "one.f32")
    product = onnx.helper.make_node("Mul", [gather.input[0], one.name], ["wpe.product"])
    gather.input[0] = "wpe.product"
    model.graph.initializer.append(one)
    model.graph.node.insert(list(model.graph.node).index(gather), product)


def steps(generator: Generator, ids: list[int], config: GenerationConfig) -> Iterator[Any]:
    """Logits and the chosen token, TOKENS times."""
    choose = make_chooser(config.resolved(), config.seed or 0)
    sequence = generator.session.start(len(ids) + TOKENS)
    logits = sequence.prefill(ids)
    for number in range(TOKENS):
        assert logits is not None
        token = choose(logits, number)
        yield logits, token
        logits = sequence.feed([token])[0]


def greedy(generator: Generator) -> dict[str, Any]:
    """The prompt whose greedy text is clearest: `margin`, the smallest lead of a first logit."""
    best: dict[str, Any] = {"margin": -1.0}
    for prompt in PROMPTS:
        ids, logits_seen, margin = [], [], np.inf
        for logits, token in steps(generator, generator.encode(prompt), GenerationConfig()):
            first = largest(logits, 5)
            margin = min(margin, float(logits[first[0]] - logits[first[1]]))
            if margin <= best["margin"]:
                break
            ids.append(token)
            logits_seen.append([[int(i), float(logits[i])] for i in first])
        else:
            best = {"prompt": prompt, "ids": ids, "logits": logits_seen, "margin": margin}
    return best


def sampled(
    generator: Generator, top_k: int, temperature: float, top_p: float, margin: float
) -> dict[str, Any]:
    """The seed whose draws stay clear longest, and the tokens up to the first that is not.

    A draw is clear if it stays the same when every logit moves by up to `margin`, as far as
    MOVES random moves can tell.
    """
    rng = np.random.default_rng(1)
    moves = margin * rng.uniform(-1, 1, (MOVES, generator.manifest.architecture.vocab_size))
    nucleus = [top_p_truncation(top_p)] if top_p < 1 else []
    best: dict[str, Any] = {"ids": []}
    for seed in range(SEEDS):
        prompt = PROMPTS[seed % len(PROMPTS)]
        config = GenerationConfig(seed=seed, top_k=top_k, temperature=temperature, top_p=top_p)
        uniform = SplitMix64(seed)
        ids: list[int] = []
        for logits, token in steps(generator, generator.encode(prompt), config):
            u = uniform.uniform()
            moved = (
                candidates((logits + move).astype(np.float32), temperature, top_k, nucleus, reach=u)
                for move in moves
            )
            if any(choice.at(u) != token for choice in moved):
                break
            ids.append(token)
        if len(ids) > len(best["ids"]):
            asked = {"seed": seed, "topK": top_k, "temperature": temperature, "topP": top_p}
            best = {"prompt": prompt, "config": asked, "ids": ids, "margin": margin}
        if len(ids) == TOKENS:
            break
    if len(best["ids"]) < FEWEST_DRAWS:
        raise SystemExit(
            f"none of {SEEDS} seeds draws {FEWEST_DRAWS} tokens clearly; raise SEEDS in {__file__}"
        )
    return best


def expected(folder: Path) -> dict[str, Any]:
    generator = Generator.load(folder, provider="cpu")
    result: dict[str, Any] = {"greedy": greedy(generator)}
    if folder.name in SAMPLED:
        if folder.name == "fp32":
            result["sampled"] = sampled(generator, 40, 0.8, 0.95, FLOAT_MARGIN)
        else:  # few candidates leave few borders that a moved logit could carry over a draw
            result["sampled"] = sampled(generator, 3, 0.7, 1.0, QUANTIZED_MARGIN)
    assert generator.tokenizer is not None
    for case in result.values():
        case["text"] = generator.tokenizer.decode(case["ids"])
    prompt = '"What do you'
    result["next"] = {
        "prompt": prompt,
        "tokens": [
            {"id": option.id, "text": option.text, "probability": option.probability}
            for option in generator.next_tokens(prompt, 8)
        ],
    }
    result["score"] = scores(generator, CONTEXT)
    if folder.name in ATTENTIVE:
        result["attention"] = attention(generator, folder, CONTEXT)
    return result


def scores(generator: Generator, prompt: str) -> dict[str, Any]:
    """What score_tokens finds, and the five most likely tokens at each place."""
    ids = generator.encode(prompt)
    logits = generator.logits(prompt).astype(np.float64)
    logprobs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    tokens = [
        {"id": token.id, "text": token.text, "logprob": token.logprob, "rank": token.rank}
        for token in score_tokens(generator, ids)
    ]
    best = [[[int(i), float(row[i])] for i in np.argsort(-row)[:5]] for row in logprobs[:-1]]
    return {"prompt": prompt, "tokens": tokens, "alternatives": best}


def attention(generator: Generator, folder: Path, prompt: str) -> dict[str, Any]:
    """Attention's weights [layers, heads, tokens, tokens], flat, of a graph that gives them."""
    ids = generator.encode(prompt)
    model = onnx.load(folder / "model.onnx")
    names = []
    for node in model.graph.node:
        if node.op_type == "GroupQueryAttention":
            node.output.append(f"{node.name}.weights")
            node.attribute.append(onnx.helper.make_attribute("qk_output", 2))
            names.append(node.output[3])
        elif node.op_type == "Softmax":
            names.append(node.output[0])
    for name in names:
        kind = onnx.TensorProto.FLOAT
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    options = SessionOptions()
    options.log_severity_level = 4
    session = InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    row = np.array([ids], np.int64)
    feeds = {
        "input_ids": row,
        "attention_mask": np.ones_like(row),
        "position_ids": np.arange(len(ids), dtype=np.int64)[None],
    }
    sizes = generator.manifest.architecture
    for entry in session.get_inputs():
        if entry.name.startswith("past_key_values."):
            past = (1, sizes.num_heads, 0, sizes.head_size)
            feeds[entry.name] = np.empty(past, np.float32)
    weights = np.concatenate(session.run(names, feeds))
    return {"prompt": prompt, "weights": [float(weight) for weight in weights.ravel()]}


def past_the_context(folder: Path) -> dict[str, Any]:
    """A prompt of several prefill steps, continued until the window slides; and a prompt that is
    longer than the context, whose first tokens are kept.
    """
    generator = Generator.load(folder, provider="cpu")
    assert generator.tokenizer is not None
    prompt = generator.tokenizer.encode((SAMPLE / "README.md").read_text("utf-8"))[:385]
    assert len(prompt) == 385
    config = GenerationConfig(max_new_tokens=160, context_overflow="slide", ignore_eos=True)
    keep = 7
    long = [*prompt, *reversed(prompt)]
    assert len(long) > generator.context_length
    kept = generator.generate(long, config, keep=keep)
    return {
        "prompt": prompt,
        "ids": generator.generate(prompt, config).ids,
        "kept": {"prompt": long, "keep": keep, "ids": kept.ids},
    }


def seeds(folder: Path) -> list[dict[str, Any]]:
    """The seeds of three texts of one prompt, by the seed that was asked for."""
    generator = Generator.load(folder, provider="cpu")
    found = []
    for seed in (0, 7, 2**53 - 1):
        texts = generator.generate("The", seed=seed, num_return_sequences=3, max_new_tokens=1)
        found.append({"seed": seed, "seeds": [text.seed for text in texts.sequences]})
    return found


def tokenizer_cases(folder: Path) -> list[dict[str, Any]]:
    """Texts with their ids, and ids, many of them halves of characters, with their text."""
    tokenizer = Generator.load(folder).tokenizer
    assert tokenizer is not None
    rng = random.Random(1)
    planes = ((0x20, 0x7F), (0xA0, 0x3000), (0x3000, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000))
    texts = [*TEXTS, (SAMPLE / "README.md").read_text("utf-8")]
    for _ in range(200):
        plane = [rng.choice(planes) for _ in range(rng.randint(1, 20))]
        texts.append("".join(chr(rng.randrange(*bounds)) for bounds in plane))
    cases = []
    for text in texts:
        ids = tokenizer.encode(text)
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids)})
    for _ in range(200):
        ids = [rng.randrange(400) for _ in range(12)]
        cases.append({"text": None, "ids": ids, "decoded": tokenizer.decode(ids)})
    return cases


# Texts whose attention is looked at: a plain one, and one that would break out of a page.
PAGES = {
    "plain": "The animal didn't cross the street because it was too tired",
    "hostile": "</script><img src=x onerror=alert(1)> @@DATA@@ \u2028 \U0001f642\n\u0645\u0631",
}


def attention_pages(package: Path, out: Path) -> None:
    """What `gpt2-edge attend --html` writes, and the same as JSON."""
    for name, text in PAGES.items():
        path = out / f"attention-{name}.html"
        path.with_suffix(".json").write_text(_attend(package, text, "--json"), "utf-8")
        _attend(package, text, "--html", str(path), "--force")


def _attend(package: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "gpt2_edge", "attend", str(package), *arguments]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


# Random models with blocks that are not full, padded heads, a table in 4 bits, a head that is a
# matrix of its own.
ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "odd-int4": ("int4", {"n_embd": 100, "n_head": 4}),
    "odd-int8": ("int8", {"n_embd": 48, "n_head": 2, "n_inner": 72}),
    "odd-int4-small": ("int4-small", {"n_embd": 100, "n_head": 4}),
    "odd-untied": ("int4", {"tie_word_embeddings": False}),
}


def odd_packages(out: Path) -> None:
    for name, (recipe, config) in ODD.items():
        checkpoint = out / f"{name}-checkpoint"
        shutil.rmtree(checkpoint, ignore_errors=True)
        write_random_checkpoint(checkpoint, random_config(**config))
        options = ("--recipe", recipe, "--no-calibration", "--no-tokenizer")
        export(out / name, options, checkpoint)


def neo_packages(out: Path) -> None:
    checkpoint = out / "gpt-neo-checkpoint"
    shutil.rmtree(checkpoint, ignore_errors=True)
    neo_of_gpt2(SAMPLE, checkpoint, NEO_WINDOW)
    for name, options in NEO_PACKAGES.items():
        export(out / name, options, checkpoint)


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    (out / "expected.json").unlink(missing_ok=True)
    for name, options in PACKAGES.items():
        export(out / name, options)
    # As large models are written: the weights in a file of their own.
    changed(out / "int4", out / "external", no_change, "model.onnx_data")
    changed(out / "int4", out / "renamed", no_change, "weights.bin")
    changed(out / "int4", out / "no-numbers", without_numbers)
    changed(out / "int4", out / "hidden-positions", with_hidden_positions)
    attention_pages(out / "int4", out)
    odd_packages(out)
    neo_packages(out)
    packages: dict[str, dict[str, Any]] = {
        name: expected(out / name) for name in (*PACKAGES, *NEO_PACKAGES) if name != "static"
    }
    packages["external"] = {key: packages["int4"][key] for key in ("greedy", "next", "score")}
    content = {
        "packages": packages,
        "slide": past_the_context(out / "fp32"),
        "seeds": seeds(out / "fp32"),
        "tokenizer": tokenizer_cases(out / "fp32"),
    }
    (out / "expected.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
