"""Checkpoint -> package: the whole export, from top to bottom."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from gpt2_edge import Generator
from gpt2_edge._version import __version__
from gpt2_edge.errors import CheckpointError, ExportError
from gpt2_edge.manifest import FORMAT_VERSION, MANIFEST_FILE, Architecture, Graph, Manifest
from gpt2_edge.package import Package, open_package
from gpt2_edge.session import Session
from gpt2_edge.status import status_line
from gpt2_edge.tokenizer import Tokenizer
from gpt2_edge_export.checkpoint import Checkpoint, open_checkpoint
from gpt2_edge_export.config import GPT2Config
from gpt2_edge_export.genai_config import genai_config
from gpt2_edge_export.graph import NAMES, build_fused_graph, cache_head_size
from gpt2_edge_export.model_card import model_card
from gpt2_edge_export.onnx_builder import MODEL_FILE, OnnxBuilder
from gpt2_edge_export.optimum_engine import export_with_optimum
from gpt2_edge_export.package import atomic_folder, check_destination, file_records, write_json
from gpt2_edge_export.quantize import Recipe, make_recipe
from gpt2_edge_export.self_test import make_self_test
from gpt2_edge_export.tokenizer_files import TOKENIZER_FILE, TokenizerFiles, read_tokenizer

ENGINES = ("fused", "optimum")
_MIN_ONNXRUNTIME = "1.23"  # the first whose GatherBlockQuantized reads 8-bit tables
_BAR_DELAY = 2  # seconds of work before a progress bar appears


@dataclass(frozen=True)
class ExportOptions:
    """What an export may be told.

    recipe: one of RECIPES. engine: "fused" builds the graph here; "optimum" takes optimum-onnx's
    (fp32 only). tokenizer: a path, None for the one beside the weights, False for none.
    block_size: the largest block of int8 or int4. activation_function: overrides the config's.
    force: replace an older package.
    """

    recipe: str = "int4"
    engine: str = "fused"
    tokenizer: Path | bool | None = None
    block_size: int | None = None
    activation_function: str | None = None
    force: bool = False


@dataclass(frozen=True)
class ExportReport:
    """The package that was written, how long it took, and what the user should know."""

    package: Package
    seconds: float
    notes: tuple[str, ...]


def export_package(
    source: str | Path, destination: str | Path, options: ExportOptions | None = None
) -> ExportReport:
    """Export the checkpoint `source` (see open_checkpoint) as a package into `destination`.

    Raises CheckpointError or ExportError in one line; nothing is left behind then.
    """
    options = options or ExportOptions()
    started = time.perf_counter()
    destination = Path(destination)
    recipe = _recipe(options)
    check_destination(destination, options.force)
    checkpoint = open_checkpoint(source, options.activation_function)
    tokenizer, notes = _tokenizer(checkpoint, options.tokenizer)
    with atomic_folder(destination, options.force) as folder:
        if options.engine == "optimum":
            with status_line() as show:
                show("optimum is tracing the model")
                graph = export_with_optimum(checkpoint, folder)
        else:
            graph = _write_fused(checkpoint, recipe, folder)
        _write_beside(checkpoint, tokenizer, folder)
        manifest = _manifest(checkpoint, recipe, graph, tokenizer, _name(checkpoint, destination))
        write_json(folder / "genai_config.json", _genai(manifest))
        with status_line() as show:
            show("self-test")
            manifest = _with_self_test(folder, manifest)
        (folder / "README.md").write_text(model_card(manifest, checkpoint.raw_config), "utf-8")
        manifest = dataclasses.replace(manifest, files=file_records(folder))
        (folder / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
    package = Package(destination, manifest)
    return ExportReport(package, time.perf_counter() - started, tuple(notes))


def _recipe(options: ExportOptions) -> Recipe:
    if options.engine not in ENGINES:
        raise ExportError(f"engine {options.engine!r} is not one of {', '.join(ENGINES)}")
    if options.engine == "optimum" and (options.recipe != "fp32" or options.activation_function):
        raise ExportError("--engine optimum exports fp32 as the checkpoint says; add --recipe fp32")
    return make_recipe(options.recipe, options.block_size)


def _tokenizer(
    checkpoint: Checkpoint, wanted: Path | bool | None
) -> tuple[TokenizerFiles | None, list[str]]:
    """The tokenizer to ship, and notes on what does not fit."""
    if wanted is False:
        return None, []
    where = checkpoint.folder if wanted is None or wanted is True else wanted
    tokenizer = read_tokenizer(where, checkpoint.config)
    if tokenizer is None:
        raise CheckpointError(
            f"{where} has no tokenizer (tokenizer.json, or vocab.json with merges.txt); give one "
            "with --tokenizer PATH, or --no-tokenizer for a package that takes and gives ids"
        )
    vocab_size, largest = checkpoint.config.vocab_size, tokenizer.largest_id
    if largest >= vocab_size:
        return tokenizer, [
            f"the tokenizer has ids up to {largest}, the model's vocabulary ends at "
            f"{vocab_size - 1}: prompts that use the others are refused"
        ]
    return tokenizer, []


class _Counted:
    """The checkpoint's weights, counted as they are read."""

    def __init__(self, checkpoint: Checkpoint, count: Callable[[], Any]) -> None:
        self.config: GPT2Config = checkpoint.config
        self._checkpoint = checkpoint
        self._count = count

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        array = self._checkpoint.tensor(name)
        self._count()
        return array


def _write_fused(checkpoint: Checkpoint, recipe: Recipe, folder: Path) -> Graph:
    tensors = len(checkpoint.config.tensor_shapes())
    bar = tqdm(
        total=tensors,
        desc=f"weights to {recipe.name}",
        unit=" tensors",
        delay=_BAR_DELAY,
        leave=False,
        disable=not sys.stderr.isatty(),
    )
    with bar, closing(OnnxBuilder(folder)) as builder:
        build_fused_graph(builder, _Counted(checkpoint, bar.update), recipe)
        builder.save("gpt2", __version__)
    return Graph(
        file=MODEL_FILE,
        flavour="fused",
        cache="shared",
        cache_dtype="float32",
        min_onnxruntime=_MIN_ONNXRUNTIME,
        names=NAMES,
    )


def _write_beside(checkpoint: Checkpoint, tokenizer: TokenizerFiles | None, folder: Path) -> None:
    """Everything but the graph and what describes this package."""
    config = checkpoint.config
    write_json(folder / "config.json", checkpoint.raw_config)
    generation = {"bos_token_id": config.bos_token_id, "eos_token_id": _one_or_all(config)}
    generation_path = checkpoint.folder / "generation_config.json"
    if generation_path.is_file():
        shutil.copyfile(generation_path, folder / generation_path.name)
    else:
        write_json(folder / generation_path.name, generation)
    for license_file in checkpoint.folder.glob("LICENSE*"):
        if license_file.is_file():
            shutil.copyfile(license_file, folder / license_file.name)
    if tokenizer is not None:
        for name, content in tokenizer.contents.items():
            (folder / name).write_text(content, encoding="utf-8")


def _one_or_all(config: GPT2Config) -> int | list[int] | None:
    ids = list(config.eos_token_ids)
    return ids if len(ids) > 1 else ids[0] if ids else None


def _manifest(
    checkpoint: Checkpoint,
    recipe: Recipe,
    graph: Graph,
    tokenizer: TokenizerFiles | None,
    name: str,
) -> Manifest:
    config = checkpoint.config
    head_size = cache_head_size(config) if graph.flavour == "fused" else config.head_size
    return Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        created_by=f"gpt2-edge {__version__}",
        architecture=Architecture(
            num_layers=config.n_layer,
            num_heads=config.n_head,
            head_size=head_size,
            hidden_size=config.n_embd,
            vocab_size=config.vocab_size,
            context_length=config.n_positions,
        ),
        graph=graph,
        recipe=recipe.describe(config.n_embd, config.n_head * head_size, config.n_inner),
        tokenizer=TOKENIZER_FILE if tokenizer else None,
        bos_token_id=config.bos_token_id,
        eos_token_ids=config.eos_token_ids,
        files={},
    )


def _name(checkpoint: Checkpoint, destination: Path) -> str:
    """What to call the model: the hub name, or the last part of a path."""
    path = Path(checkpoint.source)
    return (path.resolve().name if path.exists() else checkpoint.source) or destination.name


def _genai(manifest: Manifest) -> dict[str, Any]:
    return genai_config(
        manifest.architecture, manifest.graph, manifest.bos_token_id, manifest.eos_token_ids
    )


def _with_self_test(folder: Path, manifest: Manifest) -> Manifest:
    """Run the new graph in the runtime and record what it computes."""
    manifest = dataclasses.replace(manifest, files=file_records(folder))
    (folder / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
    package = open_package(folder)
    # Prepacking would put a second copy of the weights into memory: 6 GB for XL in fp32.
    session = Session(package, verify=False, prepack=manifest.recipe["name"] != "fp32")
    tokenizer = Tokenizer(folder / manifest.tokenizer) if manifest.tokenizer else None
    generator = Generator(package, session, tokenizer)
    return dataclasses.replace(manifest, self_test=make_self_test(generator))
