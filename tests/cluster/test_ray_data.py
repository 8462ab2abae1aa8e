"""gpt2_edge.ray on a local cluster of two nodes, with a worker killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed (make test-ray)")
pytest.importorskip("ray.data")
from ray.cluster_utils import Cluster  # noqa: E402

from gpt2_edge import Generator, text_perplexity  # noqa: E402
from gpt2_edge.ray import Continuer, Scorer  # noqa: E402

ROWS = 120
BATCH = 4
PATIENCE = 120  # seconds; only a failure takes them


class Slow:
    """Scorer, with a note of each batch and its process, and slow enough to be killed between."""

    def __init__(self, package: str, notes: str) -> None:
        self._score = Scorer(package)
        self._notes = Path(notes)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        node = ray.get_runtime_context().get_node_id()
        with (self._notes / f"{os.getpid()}").open("a", encoding="utf-8") as file:
            file.write(f"{node} {len(batch['id'])}\n")
        time.sleep(0.3)
        return self._score(batch)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    node = {"num_cpus": 2, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False)
    # It lies beside the tests, which the workers do not have on their path.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A JSONL file of texts, with an id each."""
    file = tmp_path / "corpus.jsonl"
    words = ["night", "sea", "man", "house", "fire", "old", "dark", "water", "king", "road"]
    lines = [
        {"id": i, "text": f"The {words[i % 10]} and the {words[i // 10 % 10]} went on, {i}."}
        for i in range(ROWS)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def expected(package: Path, corpus: Path) -> dict[int, float]:
    """Each row's perplexity, from one process."""
    generator = Generator.load(package, threads=1)
    rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: text_perplexity(generator, row["text"], bos=True).perplexity for row in rows}


def batches(notes: Path) -> dict[int, list[str]]:
    """The notes of each process."""
    return {int(file.name): file.read_text().splitlines() for file in notes.iterdir()}


def test_every_row_once_though_a_worker_is_killed(
    cluster: Cluster, sample_fp32: Path, corpus: Path, tmp_path: Path
) -> None:
    notes, output = tmp_path / "notes", tmp_path / "scored"
    notes.mkdir()
    killer = subprocess.Popen([sys.executable, "-c", KILL, str(notes)], text=True)
    texts = ray.data.read_json(str(corpus), lines=True, override_num_blocks=12)
    scored = texts.map_batches(
        Slow,
        fn_constructor_kwargs={"package": str(sample_fp32), "notes": str(notes)},
        batch_size=BATCH,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=3),
    )
    scored.write_parquet(str(output))
    assert killer.wait(timeout=PATIENCE) == 0
    by_process = batches(notes)
    killed = int((tmp_path / "killed").read_text())
    assert len(by_process) > 3, "another took the place of the one that was killed"
    assert killed in by_process
    assert len({line.split()[0] for lines in by_process.values() for line in lines}) == 2
    rows = ray.data.read_parquet(str(output)).take_all()
    assert len(rows) == ROWS
    assert {row["id"]: row["perplexity"] for row in rows} == expected(sample_fp32, corpus)
    assert {row["error"] for row in rows} == {""}


# Kills the first process that has scored two batches.
KILL = """
import os, signal, sys, time
from pathlib import Path
notes, end = Path(sys.argv[1]), time.monotonic() + 120
while time.monotonic() < end:
    for file in notes.iterdir():
        if len(file.read_text().splitlines()) >= 2:
            os.kill(int(file.name), signal.SIGKILL)
            (notes.parent / "killed").write_text(file.name)
            sys.exit(0)
    time.sleep(0.05)
sys.exit(1)
"""


def test_a_run_that_was_broken_off_goes_on(
    cluster: Cluster, sample_fp32: Path, corpus: Path, tmp_path: Path
) -> None:
    notes, output, texts = tmp_path / "notes", tmp_path / "scored", tmp_path / "texts"
    notes.mkdir()
    # Ray goes on with Parquet; of JSONL its checkpoints cannot tell what is done.
    ray.data.read_json(str(corpus), lines=True).repartition(12).write_parquet(str(texts))
    command = [
        sys.executable,
        __file__,
        cluster.address,
        *map(str, (sample_fp32, texts, tmp_path)),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as broken:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and broken.poll() is None:
            if len(list(output.glob("*.parquet"))) >= 2:
                broken.send_signal(signal.SIGKILL)
        assert broken.stderr is not None
        complaint = broken.stderr.read()
    assert broken.returncode == -signal.SIGKILL, complaint
    before = sum(len(lines) for lines in batches(notes).values())
    assert before < ROWS // BATCH
    again = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert again.returncode == 0, again.stderr
    rows = ray.data.read_parquet(str(output)).take_all()
    assert sorted(row["id"] for row in rows) == list(range(ROWS))
    assert {row["id"]: row["perplexity"] for row in rows} == expected(sample_fp32, corpus)


def test_prompts_of_parquet_are_continued(
    cluster: Cluster, sample_int4: Path, corpus: Path, tmp_path: Path
) -> None:
    ray.data.read_json(str(corpus), lines=True).write_parquet(str(tmp_path / "prompts"))
    settings = {"max_new_tokens": 6, "temperature": 0.8}
    given = {
        "package": str(sample_int4),
        "column": "text",
        "settings": settings,
        "id_column": "id",
        "threads": 1,
    }
    made = (
        ray.data.read_parquet(str(tmp_path / "prompts"))
        .map_batches(
            Continuer,
            fn_constructor_kwargs=given,
            batch_size=16,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        .take_all()
    )
    here = Continuer(**given)({key: [row[key] for row in made] for key in ("id", "text")})
    assert [row["continuation"] for row in made] == list(here["continuation"])
    assert len({row["continuation"] for row in made}) > ROWS // 2
    assert all(row["error"] == "" and row["generated_tokens"] > 0 for row in made)


def score_with_checkpoint(address: str, package: str, texts: str, work: str) -> None:
    """What the broken run, and the one after it, do."""
    from ray.data.checkpoint import CheckpointConfig

    ray.init(address=address, log_to_driver=False)
    ray.data.DataContext.get_current().checkpoint_config = CheckpointConfig(
        id_column="id", checkpoint_path=f"{work}/checkpoint"
    )
    rows = ray.data.read_parquet(texts).repartition(target_num_rows_per_block=2 * BATCH)
    rows.map_batches(
        Slow,
        fn_constructor_kwargs={"package": package, "notes": f"{work}/notes"},
        batch_size=BATCH,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=1),
    ).write_parquet(f"{work}/scored", mode="append")


if __name__ == "__main__":
    score_with_checkpoint(*sys.argv[1:])
