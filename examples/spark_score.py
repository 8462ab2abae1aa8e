"""Score a Parquet corpus with PySpark, whose mapInPandas takes the class that Ray Data takes:

    spark-submit examples/spark_score.py PACKAGE corpus/ scored/

PACKAGE must be at the same path on every executor. Give each task the processors that a model uses:
--conf spark.task.cpus=2.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from gpt2_edge.ray import Scorer

ADDED = (
    "tokens long, negative_log_likelihood double, perplexity double, bits_per_byte double, "
    "error string"
)


def scoring(package: str, column: str, threads: int) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """What mapInPandas calls once for each partition, with its DataFrames."""

    def scored(frames: Iterator[Any]) -> Iterator[Any]:
        scorer = Scorer(package, column, threads=threads)  # once for each partition, not each row
        yield from map(scorer, frames)

    return scored


def main() -> None:
    from pyspark.sql import SparkSession

    parser = argparse.ArgumentParser(description="Score a corpus with PySpark.")
    parser.add_argument("package")
    parser.add_argument("corpus")
    parser.add_argument("output")
    parser.add_argument("--column", default="text", help="of the texts")
    parser.add_argument("--threads", type=int, default=2, help="as spark.task.cpus")
    arguments = parser.parse_args()
    spark = SparkSession.builder.appName("gpt2-edge").getOrCreate()
    texts = spark.read.parquet(arguments.corpus)
    columns = ", ".join(f"`{name}` {kind}" for name, kind in texts.dtypes)
    score = scoring(arguments.package, arguments.column, arguments.threads)
    texts.mapInPandas(score, f"{columns}, {ADDED}").write.parquet(arguments.output)


if __name__ == "__main__":
    main()
