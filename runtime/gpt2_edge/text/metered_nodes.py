"""The parts of a template that Jinja computes without asking: filters are put around them.

Loops, `~`, comparisons, keys and slices are compiled to Python's own; with a filter around it, what
goes into one can be looked at, and paid for.
"""

from __future__ import annotations

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

# These filters, under names that no template can write.
EACH, VALUE, ENTRIES, TEXT = "each round", "a value", "its entries", "as one text"
LOOP, CALLER = "a loop that calls itself", "the body of a call block"


def metered_nodes(template: nodes.Template) -> nodes.Template:
    """`template`, changed in place."""
    changed: nodes.Template = _Metering().visit(template)
    return changed


def count_nodes(node: nodes.Node) -> int:
    """How many parts `node` has."""
    return 1 + sum(map(count_nodes, node.iter_child_nodes()))


def called_sizes(template: nodes.Template) -> dict[str, int]:
    """How many parts has what a template can call: macros and blocks by name, LOOP and CALLER."""
    sizes = {LOOP: count_nodes(template)}
    for kind in (nodes.Macro, nodes.Block, nodes.CallBlock):
        for node in template.find_all(kind):
            name = getattr(node, "name", CALLER)
            sizes[name] = max(sizes.get(name, 0), count_nodes(node))
    return sizes


class _Metering(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        cost = nodes.Const(count_nodes(node), lineno=node.lineno)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, EACH, cost)
        return node

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:  # noqa: N802
        return nodes.Const(node.data, lineno=node.lineno)  # so that it is written as values are

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), TEXT)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.key = _weighed(node.key)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            return _filtered(node, ENTRIES)
        node.arg = _weighed(node.arg)
        return node


def _filtered(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _weighed(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _filtered(node, VALUE)
