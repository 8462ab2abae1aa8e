"""Which graph a package has: decided before any weight is read, and passed whole from there on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from gpt2_edge_export.quantize import Recipe, make_recipe


@dataclass(frozen=True)
class GraphPlan:
    """The graph to write, as ExportOptions names its parts.

    recipe: the formats of the matrices. flavour: the operators. engine: who writes it. cache_dtype:
    of keys and values. compute_dtype: what matrices are multiplied in. past: room of a static
    graph's cache in tokens, None for the model's context.
    """

    recipe: Recipe
    flavour: str = "fused"
    engine: str = "fused"
    cache_dtype: str = "float32"
    compute_dtype: str = "float32"
    past: int | None = None

    @property
    def halves(self) -> bool:
        """Whether matrices are multiplied in float16."""
        return self.compute_dtype == "float16"

    @property
    def exact(self) -> bool:
        """Whether it computes in float32 all through, so that there is nothing to lose."""
        return self.recipe.table.bits == 32 and self.cache_dtype == "float32" and not self.halves

    def in_formats(self, recipe: Recipe) -> GraphPlan:
        """The same graph with its matrices in other formats."""
        return dataclasses.replace(self, recipe=recipe)


# The plain one, which others are held against.
EXACT = GraphPlan(make_recipe("fp32"))
