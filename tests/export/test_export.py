"""What a package holds, and that its parts agree."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from gpt2_edge import Generator
from gpt2_edge.errors import ExportError, GPT2EdgeError
from gpt2_edge.files.manifest_file import read_manifest
from gpt2_edge.files.package import open_package
from gpt2_edge.measure.selftest import run_self_test
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.graph import onnx_builder
from helpers import (
    assert_one_line,
    random_config,
    random_tensors,
    write_checkpoint,
    write_random_checkpoint,
)

SAMPLES = ["sample_fp32", "sample_int8", "sample_int4"]


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> Path:
    package: Path = request.getfixturevalue(request.param)
    return package


def test_files_of_a_package(sample_int4: Path) -> None:
    assert {path.name for path in sample_int4.iterdir()} == {
        "README.md",
        "config.json",
        "genai_config.json",
        "generation_config.json",
        "manifest.json",
        "model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_manifest_lists_every_file_with_its_hash(sample: Path) -> None:
    files = read_manifest(sample).files
    assert files.keys() == {p.name for p in sample.iterdir()} - {"manifest.json"}
    for name, record in files.items():
        content = (sample / name).read_bytes()
        assert record.bytes == len(content)
        assert record.sha256 == hashlib.sha256(content).hexdigest()


def test_manifest_describes_the_model(sample_int4: Path) -> None:
    manifest = read_manifest(sample_int4)
    architecture = manifest.architecture
    assert manifest.name == "sample"
    assert (architecture.num_layers, architecture.num_heads, architecture.head_size) == (6, 4, 64)
    assert (architecture.hidden_size, architecture.vocab_size) == (256, 8192)
    assert architecture.context_length == 512
    assert (manifest.bos_token_id, manifest.eos_token_ids) == (0, (0,))
    assert manifest.recipe["attn.c_attn"] == {"bits": 4, "block_size": 32}
    assert manifest.recipe["mlp.c_proj"] == {"bits": 4, "block_size": 128}
    assert manifest.tokenizer == "tokenizer.json"


def test_padded_head_size_is_that_of_the_cache(random_package: Callable[..., Path]) -> None:
    package = random_package(n_embd=36, n_head=3)
    assert read_manifest(package).architecture.head_size == 16


def test_self_test_passes_and_tests_something(sample: Path) -> None:
    generator = Generator.load(sample)
    test = generator.manifest.self_test
    assert test is not None
    assert len(test.expected_ids) >= 3
    assert len(test.logits) == 8
    assert run_self_test(generator) == []


def test_self_test_logits_are_those_of_the_graph(sample: Path) -> None:
    generator = Generator.load(sample)
    test = generator.manifest.self_test
    assert test is not None
    logits = generator.logits(test.prompt_ids)[-1]
    for token, expected in test.logits.items():
        assert logits[int(token)] == pytest.approx(expected, abs=test.tolerance)
    assert 0 < test.tolerance < 0.5 * logits.std()
    assert int(logits.argmax()) == test.expected_ids[0]


def test_source_config_is_kept(sample: Path, sample_checkpoint: Path) -> None:
    for name in ("config.json", "generation_config.json"):
        ours, source = (
            json.loads((folder / name).read_text("utf-8")) for folder in (sample, sample_checkpoint)
        )
        ours.pop("transformers.js_config", None)
        assert ours == source


def test_generation_config_is_made_up_where_there_is_none(
    random_package: Callable[..., Path],
) -> None:
    content = json.loads((random_package() / "generation_config.json").read_text("utf-8"))
    assert content == {"bos_token_id": 0, "eos_token_id": 0}


def test_licence_is_kept(tmp_path: Path) -> None:
    checkpoint = write_random_checkpoint(tmp_path / "checkpoint", random_config())
    (checkpoint / "LICENSE.txt").write_text("as you like", "utf-8")
    options = ExportOptions(tokenizer=False)
    package = export_package(checkpoint, tmp_path / "package", options).package
    assert (package.folder / "LICENSE.txt").read_text("utf-8") == "as you like"
    assert "LICENSE.txt" in package.manifest.files


def test_genai_config_names_inputs_and_outputs_of_the_graph(sample: Path) -> None:
    model = json.loads((sample / "genai_config.json").read_text("utf-8"))["model"]
    decoder = model["decoder"]
    graph = onnx.load(sample / decoder["filename"]).graph
    for wanted, found in (("inputs", graph.input), ("outputs", graph.output)):
        names = {value.name for value in found}
        for name in decoder[wanted].values():
            assert name.replace("%d", "5") in names
    assert decoder["num_hidden_layers"] == 6
    assert decoder["num_attention_heads"] * decoder["head_size"] == decoder["hidden_size"] == 256
    assert (model["vocab_size"], model["context_length"], model["eos_token_id"]) == (8192, 512, 0)


def test_model_card(sample: Path) -> None:
    card = (sample / "README.md").read_text("utf-8")
    manifest = read_manifest(sample)
    assert card.startswith(f"# sample, {manifest.recipe['name']}\n")
    for part in ("6 layers", "width 256", "vocabulary 8192", "gelu_new"):
        assert part in card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    ast.parse(code)
    (size,) = re.findall(r"of ([\d.]+) MB", card)
    assert float(size) == pytest.approx(open_package(sample).total_bytes / 1e6, rel=0.01)


# Names of folders, and how the card must not show them.
NAMES = {
    "*bold* _it_ `code` <b>": "*bold*",
    "two\nlines\n# heading": "\n# heading",
    "[click](x)": "[click]",
    "\x1b]0;title\x07\x1b[2J": "\x1b",
    "```": "\n```\n",
    "| a | b": " | a",
    os.fsdecode(b"caf\xe9"): os.fsdecode(b"\xe9"),
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_cannot_break_the_model_card(tmp_path: Path, name: str) -> None:
    checkpoint = write_random_checkpoint(tmp_path / "model", random_config())
    checkpoint = checkpoint.rename(tmp_path / name)
    options = ExportOptions("fp32", tokenizer=False)
    package = export_package(checkpoint, tmp_path / "package", options).package
    assert package.manifest == read_manifest(package.folder)
    assert package.manifest.name.isprintable()
    title, _, rest = (package.folder / "README.md").read_text("utf-8").partition("\n")
    assert title.endswith(", fp32")
    assert title.isprintable()
    assert NAMES[name] not in title.replace("\\" + NAMES[name][:1], "")
    assert rest.startswith("\nA GPT-2 of 2 layers")


def test_code_in_the_model_card_runs(
    sample_int4: Path, random_package: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for package in (sample_int4, random_package()):
        card = (package / "README.md").read_text("utf-8")
        (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        assert "this folder" in code
        exec(code.replace("this folder", str(package)))
        assert len(capsys.readouterr().out) > 10


def test_onnxruntime_leaves_norms_alone(sample: Path, tmp_path: Path) -> None:
    """It would make the slower SkipLayerNormalization of a sum that has one reader."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3  # it warns that the result is for this machine
    ort.InferenceSession(str(sample / "model.onnx"), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert operators.count("LayerNormalization") >= 2 * 6
    assert operators.count("SkipLayerNormalization") <= 1  # the last, whose sum has one reader


def test_graph_is_valid_and_small(sample: Path) -> None:
    model = onnx.load(sample / "model.onnx")
    onnx.checker.check_model(model)
    operators = [node.op_type for node in model.graph.node]
    layers = 6
    assert operators.count("GroupQueryAttention") == layers
    assert operators.count("LayerNormalization") == 2 * layers + 1
    # ONNX Runtime folds the Casts of stored float16, which are constants, when it loads the graph.
    operators = [node.op_type for node in model.graph.node if not node.name.endswith(".f32")]
    by_row = operators.count("MatMulIntegerToFloat")  # each with five that round its inputs
    residual = 2 * layers + 1
    biases = operators.count("Add") + operators.count("Sum") - residual  # MatMulNBits takes its own
    assert len(operators) - 5 * by_row - biases <= 10 * layers + 32
    assert by_row in (0, 3 * layers)
    assert biases <= 4 * layers


def test_graph_without_its_optional_input_gives_the_last_position(sample: Path) -> None:
    generator = Generator.load(sample)
    ids = [5, 6, 7, 8]
    feeds = {
        "input_ids": np.array([ids]),
        "attention_mask": np.ones((1, 4), np.int64),
        "position_ids": np.arange(4)[None],
    }
    for layer in range(6):
        for kind in ("key", "value"):
            feeds[f"past_key_values.{layer}.{kind}"] = np.zeros((1, 4, 0, 64), np.float32)
    (logits,) = generator.session.onnx.run(["logits"], feeds)
    assert logits.shape == (1, 1, 8192)
    expected = generator.session.start(4).feed(ids, keep=1)[0]
    np.testing.assert_allclose(logits[0, 0], expected, atol=1e-5)


def test_large_weights_go_into_a_file_of_their_own(
    tmp_path: Path, sample_checkpoint: Path, sample_fp32: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_builder, "EMBED_LIMIT", 1 << 20)
    package = tmp_path / "package"
    export_package(sample_checkpoint, package, ExportOptions(recipe="fp32", report=False))
    files = read_manifest(package).files
    assert files["model.onnx_data"].bytes > 27_000_000
    assert files["model.onnx"].bytes < 100_000
    graph = onnx.load(package / "model.onnx", load_external_data=False).graph
    stored = [t for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    entries = [{entry.key: entry.value for entry in t.external_data} for t in stored]
    assert {entry["location"] for entry in entries} == {"model.onnx_data"}
    assert all(int(entry["offset"]) % 4096 == 0 for entry in entries)  # pages, to be mapped
    moved = shutil.move(package, tmp_path / "moved")
    logits = Generator.load(moved).logits([1, 2, 3])
    np.testing.assert_array_equal(logits, Generator.load(sample_fp32).logits([1, 2, 3]))


def test_config_tells_transformers_js_which_files_there_are(
    random_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(folder: Path) -> object:
        config: dict[str, object] = json.loads((folder / "config.json").read_text("utf-8"))
        return config.get("transformers.js_config")

    assert told(random_package()) == {"dtype": "fp32"}
    assert told(random_package(flavour="static")) is None
    monkeypatch.setattr(onnx_builder, "EMBED_LIMIT", 0)
    for flavour in ("fused", "portable"):
        folder = random_package(flavour=flavour)
        assert told(folder) == {"dtype": "fp32", "use_external_data_format": True}
        graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
        # Sizes that transformers.js gives an empty cache: this name's, and 0 for others.
        sizes = next(entry for entry in graph.input if entry.name == "past_key_values.0.key")
        assert sizes.type.tensor_type.shape.dim[0].dim_param == "batch_size"


def test_the_same_checkpoint_gives_the_same_bytes(
    tmp_path: Path, sample_checkpoint: Path, sample_int4: Path
) -> None:
    options = ExportOptions(report=False)
    again = export_package(sample_checkpoint, tmp_path / "package", options).package
    assert again.manifest.files == read_manifest(sample_int4).files


@pytest.mark.parametrize("recipe", ["fp32", "int8", "int4"])
def test_checkpoint_that_overflows_is_not_packaged(tmp_path: Path, recipe: str) -> None:
    """Finite weights, but logits that are not: a package of NaN would help nobody."""
    tensors = random_tensors(random_config())
    tensors["h.0.mlp.c_fc.weight"][:] = 3e38
    write_checkpoint(tmp_path / "checkpoint", random_config(), tensors)
    options = ExportOptions(recipe=recipe, tokenizer=False)
    with pytest.raises(GPT2EdgeError) as caught:
        export_package(tmp_path / "checkpoint", tmp_path / "package", options)
    assert_one_line(caught.value)
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize(
    "options",
    [
        ExportOptions(recipe="int2"),
        ExportOptions(recipe="int4", block_size=20),
        ExportOptions(engine="tensorrt"),
        ExportOptions(engine="optimum"),  # only with fp32
        ExportOptions(engine="optimum", recipe="fp32", activation_function="relu"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, sample_checkpoint: Path, options: ExportOptions
) -> None:
    with pytest.raises(ExportError) as caught:
        export_package(sample_checkpoint, tmp_path / "package", options)
    assert_one_line(caught.value)
    assert not list(tmp_path.iterdir())
