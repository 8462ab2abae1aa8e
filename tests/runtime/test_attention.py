"""Attention's weights: that they are the model's, whatever the package; what has none to give."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

from gpt2_edge import ContextOverflowError, GenerationError, Generator, PackageError
from gpt2_edge.files import package_files
from gpt2_edge.graph import attention
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.graph.versions import CACHE_MIN_ONNXRUNTIME
from gpt2_edge_export.texts import REPORT_TEXT
from helpers import assert_one_line
from oracle import Oracle
from robustness.packages import list_file, move_weights

TEXT = "The animal didn't cross the street because it was too tired"
RELEASE = tuple(int(part) for part in ort.__version__.split(".")[:2])
Weights = npt.NDArray[np.float32]


def assert_shares(weights: Weights) -> None:
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert weights.min() >= 0
    assert not np.triu(weights, 1).any()


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"n_layer": 3, "n_head": 4},
        {"n_embd": 36, "n_head": 2},  # heads of 18, padded to 24
        {"scale_attn_by_inverse_layer_idx": True},
        {"scale_attn_weights": False},
        {"n_layer": 1, "tie_word_embeddings": False},
    ],
    ids=str,
)
def test_they_are_those_of_float64_numpy(
    random_package: Callable[..., Path], config: dict[str, Any]
) -> None:
    package = random_package(**config)
    generator, oracle = Generator.load(package), Oracle.load(package.parent / "checkpoint")
    for ids in ([7], [5, 5], [3, 1, 4, 1, 5, 9, 2, 6], [i * 7 % 101 for i in range(64)]):
        weights = generator.attention(ids)
        expected = oracle.attention(ids)
        assert weights.shape == expected.shape == (*expected.shape[:2], len(ids), len(ids))
        np.testing.assert_allclose(weights, expected, atol=1e-5)
        assert_shares(weights)


def test_a_long_text(fp32: Generator, sample_checkpoint: Path) -> None:
    """More than the kernel's tiles of 128 rows, up to the whole context."""
    ids = [(i * 31) % 1000 for i in range(fp32.context_length)]
    oracle = Oracle.load(sample_checkpoint)
    for tokens in (129, len(ids)):
        weights = fp32.attention(ids[:tokens])
        np.testing.assert_allclose(weights, oracle.attention(ids[:tokens]), atol=1e-4)
        assert_shares(weights)
    with pytest.raises(ContextOverflowError):
        fp32.attention([*ids, 1])


EXPORTS: dict[str, dict[str, Any]] = {
    "fp16": {"recipe": "fp16"},
    "int8": {"recipe": "int8"},
    "int8-row": {"recipe": "int8-row"},
    "int4": {"recipe": "int4"},
    "int4-small": {"recipe": "int4-small"},
    "cache float16": {"recipe": "fp32", "cache_dtype": "float16"},
    "cache int8": {"recipe": "int8", "cache_dtype": "int8"},
    "compute float16": {"recipe": "int4", "compute_dtype": "float16"},
}


@pytest.mark.parametrize("name", EXPORTS)
def test_every_fused_package_gives_shares(
    sample_checkpoint: Path, fp32: Generator, tmp_path: Path, name: str
) -> None:
    options = {"calibration": False} | EXPORTS[name]
    if name == "cache int8":
        options["calibration"] = tmp_path / "text.txt"
        options["calibration"].write_text(REPORT_TEXT.read_text("utf-8")[:6000], "utf-8")
    needed = CACHE_MIN_ONNXRUNTIME[options.get("cache_dtype", "float32")]
    if tuple(int(part) for part in needed.split(".")) > RELEASE:
        pytest.skip(f"needs ONNX Runtime {needed}")
    export_package(sample_checkpoint, tmp_path / "p", ExportOptions(report=False, **options))
    generator = Generator.load(tmp_path / "p")
    assert generator.gives_attention
    weights = generator.attention(TEXT)
    assert weights.shape == (6, 4, *[len(generator.encode(TEXT))] * 2)
    assert_shares(weights)
    assert abs(weights - fp32.attention(TEXT)).mean() < 0.02


def test_one_layer_and_one_head(fp32: Generator) -> None:
    weights = fp32.attention(TEXT)
    np.testing.assert_array_equal(fp32.attention(TEXT, layer=5), weights[5:])
    one = fp32.attention(TEXT, layer=1, head=2)
    np.testing.assert_array_equal(one, weights[1:2, 2:3])
    assert one.base is None  # the others are not kept
    for wrong in ({"layer": 6}, {"head": -1}):
        with pytest.raises(GenerationError, match="must be from 0 to"):
            fp32.attention(TEXT, **wrong)


def test_weights_in_a_file_of_their_own_and_in_a_large_graph(
    fp32: Generator, sample_fp32: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay where they are, and the graph that is handed over is small."""
    edit = package_files.attention_graph
    sizes: list[int] = []

    def measured(*arguments: Any) -> bytes:
        content = edit(*arguments)
        sizes.append(len(content))
        return content

    monkeypatch.setattr(package_files, "attention_graph", measured)
    expected = fp32.attention(TEXT)
    inside = Generator.load(sample_fp32)
    np.testing.assert_array_equal(inside.attention(TEXT), expected)  # 28 MB, read where they lie
    folder = Path(shutil.copytree(sample_fp32, tmp_path / "külön fájl"))
    move_weights(folder, "model.onnx_data")
    list_file(folder, "model.onnx_data")
    np.testing.assert_array_equal(Generator.load(folder).attention(TEXT), expected)
    monkeypatch.setattr(package_files, "_IN_MEMORY", 1 << 30)
    np.testing.assert_array_equal(Generator.load(sample_fp32).attention(TEXT), expected)
    in_the_graph, beside_it, in_memory = sizes
    assert max(in_the_graph, beside_it) < 100_000
    assert in_memory > 20_000_000


def test_nothing_is_loaded_before_it_is_asked_for_and_then_once(
    sample_int4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = Generator.load(sample_int4)
    opened: list[object] = []
    session = ort.InferenceSession

    def counted(*arguments: Any, **options: Any) -> Any:
        opened.append(arguments)
        return session(*arguments, **options)

    monkeypatch.setattr(ort, "InferenceSession", counted)
    generator.generate(TEXT, max_new_tokens=2)
    assert generator.gives_attention
    assert not opened
    texts = [TEXT, "It was", "What do you", "Once upon a time there was a king"] * 3
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(generator.attention, texts))
    assert len(opened) == 1
    for text, weights in zip(texts, together, strict=True):
        np.testing.assert_array_equal(weights, generator.attention(text))
        np.testing.assert_array_equal(weights, generator.with_config().attention(text))
    assert len(opened) == 1


def test_generating_goes_on_beside_it(int4: Generator) -> None:
    expected = int4.generate(TEXT, max_new_tokens=12).ids
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            shares = [pool.submit(int4.attention, TEXT) for _ in range(2)]
            texts = [pool.submit(int4.generate, TEXT, max_new_tokens=12) for _ in range(2)]
            assert [text.result().ids for text in texts] == [expected] * 2
            np.testing.assert_array_equal(*(share.result() for share in shares))


@pytest.mark.parametrize("flavour", ["portable", "static"])
def test_other_flavours_say_so(random_package: Callable[..., Path], flavour: str) -> None:
    package = random_package(flavour=flavour)
    generator = Generator.load(package)
    assert not generator.gives_attention
    with pytest.raises(GenerationError) as raised:
        generator.attention([1, 2, 3])
    assert_one_line(raised.value, package, flavour, "--flavour fused")


@pytest.mark.parametrize("prompt", ["", [], [101], "text", [1.5]])
def test_prompts_are_those_of_encode(random_package: Callable[..., Path], prompt: Any) -> None:
    generator = Generator.load(random_package())
    with pytest.raises(GenerationError) as expected:
        generator.encode(prompt)
    with pytest.raises(GenerationError) as raised:
        generator.attention(prompt)
    assert str(raised.value) == str(expected.value)


def test_a_file_that_changed_since_loading(sample_int4: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sample_int4, tmp_path / "package"))
    trusting, careful = Generator.load(folder, verify=False), Generator.load(folder)
    content = bytearray((folder / "model.onnx").read_bytes())
    content[content.index(b"attn.c_attn") - 200] ^= 1
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(PackageError) as raised:
        careful.attention(TEXT)
    assert_one_line(raised.value, folder / "model.onnx", "is damaged")
    with suppress(PackageError):  # what the flipped bit makes of it, nobody can say
        trusting.attention(TEXT)
    (folder / "model.onnx").unlink()
    with pytest.raises(PackageError, match=r"model\.onnx is missing"):
        trusting.attention(TEXT)
    shutil.copy(sample_int4 / "model.onnx", folder)
    assert_shares(careful.attention(TEXT))  # the next call tries again


def test_no_memory(int4: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = np.empty

    def scarce(shape: tuple[int, ...], *arguments: Any) -> npt.NDArray[Any]:
        if len(shape) == 5:
            raise MemoryError
        return empty(shape, *arguments)

    monkeypatch.setattr(np, "empty", scarce)
    with pytest.raises(GenerationError) as raised:
        int4.attention(list(range(512)))
    assert_one_line(raised.value, "512 tokens", "50 MB", "shorten the text")


@pytest.mark.parametrize(
    ("told", "fits"),
    [
        ("MemTotal: 99999999 kB\nMemAvailable:      60000 kB\n", True),
        ("MemTotal: 99999999 kB\nMemAvailable:      40000 kB\n", False),
        ("MemTotal: 99999999 kB\n", True),
        ("MemAvailable:", True),
        (None, True),
    ],
)
def test_memory_that_the_system_would_only_promise(
    int4: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, fits: bool
) -> None:
    if told is not None:
        (tmp_path / "meminfo").write_text(told, "ascii")
    monkeypatch.setattr(attention, "_MEMORY", tmp_path / "meminfo")
    ids = list(range(512))
    if fits:
        assert_shares(int4.attention(ids))
    else:
        with pytest.raises(GenerationError, match="no memory for the attention of 512 tokens"):
            int4.attention(ids)
        assert_shares(int4.attention(ids[:100]))


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
@pytest.mark.parametrize("megabytes", [0, 4, 16, 48, 90, 400])
def test_one_line_or_a_result_where_memory_ends(sample_int4: Path, megabytes: int) -> None:
    process = subprocess.run(
        [sys.executable, "-c", _SCARCE, str(megabytes), str(sample_int4)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.stderr == ""
    assert process.stdout in ("weights (6, 4, 512, 512)\n", "line True\n")
    assert process.returncode == 0


_SCARCE = """
import resource, sys
from gpt2_edge import Generator, GPT2EdgeError

amount, folder = int(sys.argv[1]), sys.argv[2]
generator = Generator.load(folder, threads=1)
with open("/proc/self/status") as status:
    used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmSize"))
limit = used + (amount << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    print("weights", generator.attention(list(range(512))).shape)
except GPT2EdgeError as error:
    print("line", str(error).isprintable())
"""


@pytest.mark.optimum
@pytest.mark.parametrize(
    "text", [TEXT, "It was the best of times, it was the worst of times. " * 8]
)
def test_they_are_those_of_transformers(
    fp32: Generator, sample_checkpoint: Path, text: str
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        sample_checkpoint, attn_implementation="eager"
    ).eval()
    ids = fp32.encode(text)
    with torch.no_grad():
        theirs = model(torch.tensor([ids]), output_attentions=True).attentions
    expected = np.concatenate([layer.numpy() for layer in theirs])
    np.testing.assert_allclose(fp32.attention(text), expected, atol=1e-4)
