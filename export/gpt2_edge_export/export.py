"""Checkpoint -> package: the whole export, from top to bottom."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt2_edge.errors import CheckpointError, ExportError
from gpt2_edge.files.manifest import Manifest
from gpt2_edge.files.package import Package
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge.untrusted import printable, shown
from gpt2_edge_export.checkpoint.checkpoint import Checkpoint, open_checkpoint
from gpt2_edge_export.draft import Draft
from gpt2_edge_export.graph.versions import check_windows
from gpt2_edge_export.mixed import write_mixed
from gpt2_edge_export.options import ExportOptions, graph_plan
from gpt2_edge_export.output.generation_file import GenerationFile, read_generation_file
from gpt2_edge_export.output.package import prepare_destination, write_atomically
from gpt2_edge_export.search import Candidate
from gpt2_edge_export.texts import CALIBRATION_TEXT, REPORT_TEXT, Text, read_text
from gpt2_edge_export.tokenizer.files import TokenizerFiles, read_tokenizer
from gpt2_edge_export.tokenizer.source import TOKENIZER_FILE

__all__ = ["ExportOptions", "ExportReport", "export_package"]

# Fewer tokens than this say little about a model; 20,480 are used where there are so many.
_LEAST_CALIBRATION, _LEAST_REPORT = 1024, 256
_NO_SEARCH = (
    "--max-kl and --max-size measure packages on a text: they need a tokenizer, calibration and "
    "the report"
)


@dataclass(frozen=True)
class ExportReport:
    """The package that was written, how long it took, and what the user should know.

    Attributes:
        package: what was written.
        seconds: how long it took.
        notes: what the user should know.
        frontier: what a search looked at, smallest last; empty without one.
    """

    package: Package
    seconds: float
    notes: tuple[str, ...]
    frontier: tuple[Candidate, ...] = ()


def export_package(
    source: str | Path, destination: str | Path, options: ExportOptions | None = None
) -> ExportReport:
    """Export a checkpoint as a package.

    Args:
        source: a Hugging Face folder, a name on the hub, or a nanoGPT ckpt.pt.
        destination: the folder to write; it must not be there, unless `options.force` says so.
        options: what the export may be told; None for the defaults.

    Raises:
        CheckpointError: the source cannot be read. Nothing is left behind.
        ExportError: it cannot be exported like that. Nothing is left behind.
    """
    options = ExportOptions() if options is None else options
    if not isinstance(options, ExportOptions):
        raise ExportError(f"options is {shown(options)}; give ExportOptions(...)")
    # What overflows is looked for where it matters: in what is stored, and in logits.
    with np.errstate(all="ignore"):
        try:
            return _export(source, destination, options)
        except np.linalg.LinAlgError as error:
            raise ExportError(
                f"{source}: calibration comes to no result ({error}); the weights are damaged, or "
                "export without it (--no-calibration)"
            ) from error


def _export(source: str | Path, destination: str | Path, options: ExportOptions) -> ExportReport:
    started = time.perf_counter()
    destination = Path(destination)
    plan = graph_plan(options)
    prepare_destination(destination, options.force)
    checkpoint = open_checkpoint(source, options.activation_function)
    _check_past(options.past, checkpoint.config.n_positions)
    if plan.engine == plan.flavour == "fused":
        check_windows(checkpoint.config, checkpoint.source)
    generation = read_generation_file(checkpoint)
    checkpoint = _with_special_tokens(checkpoint, generation)
    tokenizer, notes = _tokenizer(checkpoint, options.tokenizer)
    notes = [*checkpoint.notes, *generation.notes, *notes]

    def write(folder: Path) -> tuple[Manifest, tuple[Candidate, ...]]:
        draft = Draft(checkpoint, tokenizer, folder, _name(checkpoint, destination), plan)
        return _write(draft, options, notes)

    manifest, tried = write_atomically(destination, options.force, write)
    package = Package(destination, manifest)
    return ExportReport(package, time.perf_counter() - started, tuple(notes), tried)


def _write(
    draft: Draft, options: ExportOptions, notes: list[str]
) -> tuple[Manifest, tuple[Candidate, ...]]:
    """Write all of the package; its manifest, and what a search looked at."""
    notes += draft.write_beside()
    calibration, report_text = _texts(draft, options, notes)
    tried: tuple[Candidate, ...] = ()
    if options.max_kl is not None or options.max_megabytes is not None:
        if calibration is None or report_text is None:
            raise ExportError(_NO_SEARCH)
        manifest, tried = write_mixed(
            draft, calibration, report_text, options.max_kl, options.max_megabytes
        )
    else:
        manifest = draft.write(draft.weights(calibration), calibration)
        if report_text is not None:
            manifest = draft.measure(manifest, report_text)
    return draft.finish(manifest), tried


def _check_past(past: int | None, context_length: int) -> None:
    if past is not None and not 1 <= past <= context_length:
        raise ExportError(
            f"--past is {past}; the model's context allows 1 to {context_length} tokens"
        )


def _texts(
    draft: Draft, options: ExportOptions, notes: list[str]
) -> tuple[Text | None, Text | None]:
    """The texts to calibrate and to measure on, None where that is not to be done."""
    given = [
        path if isinstance(path, Path) else None
        for path in (options.calibration, options.report_text)
    ]
    if draft.tokenizer is None:
        named = next((path for path in given if path is not None), None)
        if named is not None:
            raise ExportError(f"{named} cannot be read without a tokenizer; give --tokenizer PATH")
        if draft.plan.recipe.quantized and options.calibration is None:
            notes.append("without a tokenizer, weights are rounded to nearest and not measured")
        return None, None
    tokenizer = Tokenizer(draft.folder / TOKENIZER_FILE)
    vocab_size = draft.checkpoint.config.vocab_size
    calibration = report = None
    calibrates = draft.plan.recipe.quantized or options.cache_dtype == "int8"
    own = given[0]
    if options.calibration is not False and (calibrates or own is not None):
        calibration = read_text(own or CALIBRATION_TEXT, tokenizer, vocab_size, _LEAST_CALIBRATION)
    if options.report:
        path = given[1] or REPORT_TEXT
        report = read_text(path, tokenizer, vocab_size, _LEAST_REPORT)
    return calibration, report


def _tokenizer(
    checkpoint: Checkpoint, wanted: Path | str | bool | None
) -> tuple[TokenizerFiles | None, list[str]]:
    """The tokenizer to ship, and notes on what does not fit."""
    if wanted is False:
        return None, []
    where = wanted if isinstance(wanted, Path) else checkpoint.folder
    tokenizer = read_tokenizer(where, checkpoint.config)
    if tokenizer is None:
        raise CheckpointError(
            f"{where} has no tokenizer (tokenizer.json, vocab.json with merges.txt, or vocab.txt); "
            "give one with --tokenizer PATH, or --no-tokenizer for a package that accepts and "
            "returns ids"
        )
    vocab_size, largest = checkpoint.config.vocab_size, tokenizer.largest_id
    if largest >= vocab_size:
        return tokenizer, [
            *tokenizer.notes,
            f"the tokenizer has ids up to {largest}, the model's vocabulary ends at "
            f"{vocab_size - 1}: prompts that use the others are refused",
        ]
    return tokenizer, list(tokenizer.notes)


def _with_special_tokens(checkpoint: Checkpoint, generation: GenerationFile) -> Checkpoint:
    """The checkpoint with the ids that count, of which its config.json is only one source."""
    special = generation.special
    config = dataclasses.replace(
        checkpoint.config, bos_token_id=special.bos, eos_token_ids=special.eos
    )
    return dataclasses.replace(checkpoint, config=config)


def _name(checkpoint: Checkpoint, destination: Path) -> str:
    """What to call the model: the hub name, or the last part of a path; printable."""
    path = Path(checkpoint.source)
    name = path.resolve().name if path.exists() else checkpoint.source
    return printable(name or destination.name)
