"""Score a corpus of Parquet or JSON Lines on all machines of a Ray cluster:

    python examples/ray_score.py PACKAGE corpus/ scored/ --checkpoint done/

Writes the rows as Parquet, each with what gpt2_edge.ray.Scorer adds. Where there is no cluster, Ray
starts one on this machine (RAY_ADDRESS names another). PACKAGE and the folders must be at the same
path on every node.

With --checkpoint a run that was broken off goes on where it was: run the same command again. The
rows need a column of their own numbers for that ("id"), and must be Parquet.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import ray
import ray.data
from ray.data.checkpoint import CheckpointConfig

from gpt2_edge.ray import Scorer


def read(path: Path) -> ray.data.Dataset:
    """The rows of a file, or of all files of a folder."""
    one = next(path.iterdir()) if path.is_dir() else path
    if one.suffix == ".parquet":
        return ray.data.read_parquet(str(path))
    return ray.data.read_json(str(path), lines=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Score a corpus on a Ray cluster.")
    parser.add_argument("package")
    parser.add_argument(
        "corpus", type=Path, help="a Parquet or JSON Lines file, or a folder of one kind"
    )
    parser.add_argument("output", type=Path, help="folder of Parquet files")
    parser.add_argument("--column", default="text", help="of the texts")
    parser.add_argument(
        "--cpus", type=int, default=2, help="for each actor, each with a model of its own"
    )
    parser.add_argument(
        "--actors", type=int, help="at most (default: as many as the cluster has room for)"
    )
    parser.add_argument("--checkpoint", type=Path, help="folder where Ray keeps what is done")
    parser.add_argument("--id", default="id", help="column of the rows' numbers, for --checkpoint")
    parser.add_argument(
        "--rows",
        type=int,
        default=4096,
        help="that one file of the output gets: what a crash may cost",
    )
    arguments = parser.parse_args()
    ray.init(log_to_driver=False)
    if arguments.checkpoint:
        ray.data.DataContext.get_current().checkpoint_config = CheckpointConfig(
            id_column=arguments.id,
            checkpoint_path=str(arguments.checkpoint.resolve()),
            delete_checkpoint_on_success=False,
        )
    most = arguments.actors or max(int(ray.cluster_resources()["CPU"]) // arguments.cpus, 1)
    scored = (
        read(arguments.corpus.resolve())
        .repartition(target_num_rows_per_block=arguments.rows)
        .map_batches(
            Scorer,
            fn_constructor_kwargs={
                "package": str(Path(arguments.package).resolve()),
                "column": arguments.column,
            },
            batch_size=64,
            num_cpus=arguments.cpus,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most),
        )
    )
    scored.write_parquet(str(arguments.output.resolve()), mode="append")


if __name__ == "__main__":
    try:
        main()
    except (OSError, StopIteration) as error:
        sys.exit(str(error) or "the corpus has no files")
