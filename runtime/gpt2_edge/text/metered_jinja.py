"""Jinja whose work is counted, so that no template runs on for ever or takes all memory.

Jinja's sandbox keeps a template from Python; it does not bound what it computes. Here every part of
a template is paid for out of one budget before it is done: the rounds of a loop by the size of
their body, macros by their own, and operators, filters, tests and methods by the sizes
of what they are given. What could make much of little, and no chat template needs, is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, ItemsView, Iterator, KeysView, ValuesView
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import BlockReference, Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from gpt2_edge.text.metered_nodes import (
    CALLER,
    EACH,
    ENTRIES,
    LOOP,
    TEXT,
    VALUE,
    called_sizes,
    metered_nodes,
)

# Evaluated parts, entries, and eighths of characters: three seconds at most, on a Xeon.
_MOST_STEPS = 5_000_000
_LONGEST_TEMPLATE = 1 << 16  # characters; those on the hub have up to some 20,000
_MOST_PRODUCT = 1 << 20  # of a multiplication
_LARGEST_NUMBER = 1 << 63
_WIDEST = 64  # indents and decimals
_DEEPEST = 64  # values in values
_SHORTEST = 8  # characters that any value but a text may take
_TOO_LARGE = "a number or a text becomes too large"

# Whose work, or what they give, grows with one of their arguments times another.
_PRODUCTS = {"indent", "join", "lstrip", "replace", "rfind", "rindex", "rpartition", "rsplit",
             "rstrip", "strip", "tojson", "trim"}  # fmt: skip
_SORTING = {"dictsort", "groupby", "max", "min", "sort", "unique"}
_WITH_NUMBERS = {"indent", "round", "tojson"}
# Filters that begin only when they are asked for an item, and others that look at entries alone.
_LAZY = {"map", "reject", "rejectattr", "select", "selectattr"}
_SHALLOW = {"count", "d", "default", "first", "items", "last", "length", "list", "reverse", *_LAZY}
_FILTERS = {"abs", "capitalize", "e", "escape", "float", "indent", "int", "join", "lower",
            "replace", "round", "safe", "string", "title", "trim", "upper",
            *_SHALLOW, *_SORTING}  # fmt: skip
_METHODS: dict[type, set[str]] = {
    str: {"capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isascii",
          "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join",
          "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind",
          "rindex", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip",
          "swapcase", "title", "upper"},
    dict: {"copy", "get", "items", "keys", "values"},
    list: {"copy", "count", "index"},
    tuple: {"count", "index"},
    range: {"count", "index"},
    int: set(),
    float: {"is_integer"},
}  # fmt: skip
_CHEAP_TESTS = {"boolean", "callable", "defined", "divisibleby", "even", "false", "float",
                "integer", "iterable", "mapping", "none", "number", "odd", "sequence", "string",
                "true", "undefined"}  # fmt: skip
_COLLECTIONS = (dict, list, tuple, set, frozenset, range, KeysView, ItemsView, ValuesView)


class _Generation(Extension):
    """transformers' {% generation %}, with which training finds what the model writes: its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)  # what is set in it stays in it, as there


class MeteredEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox, with a budget for each rendering: `begin` grants a new one."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        # Without the optimizer, which would compute constants before there is a budget.
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", _Generation],
            optimized=False,
            finalize=_finalize,
        )
        self._left, self._sizes = _MOST_STEPS, dict[str, int]()
        filters: dict[str, Any] = self.filters
        tests: dict[str, Any] = self.tests
        self.filters = {name: self._metered(name, filters[name]) for name in _FILTERS}
        self.filters |= {EACH: self.counted, VALUE: self._value, ENTRIES: self._entries,
                         TEXT: self._joined}  # fmt: skip
        self.tests = {
            name: test if name in _CHEAP_TESTS else self._metered(name, test)
            for name, test in tests.items()
        }
        del self.globals["lipsum"]

    def metered(self, source: str) -> Any:
        """The template `source`; raises TemplateError, and what Python makes of its code."""
        if len(source) > _LONGEST_TEMPLATE:
            raise TemplateError(f"it has {len(source)} characters, more than {_LONGEST_TEMPLATE}")
        template = self.parse(source)
        self._sizes = called_sizes(template)
        template = metered_nodes(template)
        template.set_environment(self)
        return self.from_string(template)

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """Let templates use `function` of values as the filter `name`."""
        self.filters[name] = self._metered(name, function)

    def begin(self) -> None:
        """Grant the steps of one rendering."""
        self._left = _MOST_STEPS

    def pay(self, steps: int) -> None:
        """Take `steps` off the budget; TemplateError where there are not so many."""
        self._left -= steps
        if self._left < 0:
            raise TemplateError("it does more than any conversation needs")

    def weigh(self, value: Any, deep: bool = True) -> int:
        """Pay for looking at `value`, with all that it holds; about how long it would be as text.

        deep: False looks at how many entries it has. Raises TemplateError for what is nested too
        deeply, a number that is too large, and a namespace, which may hold itself.
        """
        size, level = 0, [value]
        for _ in range(_DEEPEST):
            inner: list[Any] = []
            for item in level:
                if isinstance(item, str):
                    self.pay(1 + (len(item) >> 3))
                    size += len(item)
                elif isinstance(item, _COLLECTIONS):
                    self.pay(1 + len(item))
                    size += _SHORTEST * len(item)
                    if deep and not isinstance(item, range):
                        inner += item
                        inner += item.values() if isinstance(item, dict) else ()
                elif isinstance(item, int) and not -_LARGEST_NUMBER <= item < _LARGEST_NUMBER:
                    raise TemplateError(_TOO_LARGE)
                elif isinstance(item, Namespace) and deep:
                    raise TemplateError("a namespace is neither written nor compared")
                else:
                    self.pay(1)
                    size += _SHORTEST
            level = inner
            if not level:
                return size
        raise TemplateError("what it puts together is nested too deeply")

    def counted(self, values: Any, cost: int = 1) -> Iterator[Any]:
        """`values`, each of which costs `cost` steps."""
        for value in values:
            self.pay(max(1, cost))
            yield value

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """A product, power or formatted text that no conversation needs is refused."""
        self.weigh(left, deep=False)
        self.weigh(right, deep=False)
        if operator == "%" and isinstance(left, str):
            raise SecurityError("texts are not formatted with % here")
        if operator == "**":
            raise TemplateError(_TOO_LARGE)
        if operator == "*":
            sized = [hasattr(each, "__len__") for each in (left, right)]
            product = (len(left) if sized[0] else left) * (len(right) if sized[1] else right)
            if abs(product) > _MOST_PRODUCT:
                raise TemplateError(_TOO_LARGE)
            if any(sized):
                self.pay(abs(product) >> (3 if isinstance(left, str) else 0))
        result = super().call_binop(context, operator, left, right)
        self.weigh(result, deep=False)
        return result

    # Named so that no keyword of a template is taken for one of these.
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """A function, macro or method; what it is given and gives is paid for."""
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, tuple(_METHODS)):
            for scope in (
                "_block_vars",
                "_loop_vars",
            ):  # which Jinja adds, for functions of its own
                kwargs.pop(scope, None)
            return __self._metered(__obj.__name__, __obj, owner)(*args, **kwargs)
        if isinstance(__obj, (Macro, BlockReference)):
            __self.pay(__self._sizes[__obj.name or CALLER])
        if isinstance(__obj, LoopContext):  # a loop that calls itself
            args = tuple(__self.counted(each, __self._sizes[LOOP]) for each in args)
        for value in (*args, *kwargs.values()):
            __self.weigh(value, deep=False)
        result = super().call(__context, __obj, *args, **kwargs)
        __self.weigh(result, deep=False)
        return result

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Of Python's own values, only methods whose work is known."""
        for kind, methods in _METHODS.items():
            if isinstance(obj, kind) and hasattr(kind, attr):
                return attr in methods
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Nothing is formatted with str.format: a width in it may ask for any length."""

    def _metered(self, name: str, function: Callable[..., Any], *owner: Any) -> Callable[..., Any]:
        """The filter, test or method of `owner` called `name`, paid for."""
        skipped = 1 if hasattr(function, "jinja_pass_arg") else 0
        shallow = name in _SHALLOW and not owner
        known = owner and isinstance(owner[0], dict)  # which is looked up in, not looked at

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            if name not in _LAZY:
                args = tuple(list(each) if isinstance(each, Generator) else each for each in args)
            given = [*owner, *args[skipped:], *kwargs.values()]
            sizes = [
                self.weigh(each, deep=not shallow and bool(number or not known))
                for number, each in enumerate(given)
            ]
            if name in _WITH_NUMBERS and any(map(_is_wide, given[1:])):
                raise TemplateError(_TOO_LARGE)
            if name in _SORTING:
                self.pay(sizes[0] * (20 + sum(sizes[1:])))
            elif name in _PRODUCTS:
                self.pay(sum(sizes) * _factor(name, given, sizes) >> 3)
            result = function(*args, **kwargs)
            if isinstance(result, Iterator):
                return self.counted(result, 1 + sum(sizes[1:]) if name in _LAZY else 1)
            self.weigh(result, deep=False)
            return result

        return run

    def _value(self, value: Any) -> Any:
        self.weigh(value)
        return value

    def _entries(self, value: Any) -> Any:
        self.weigh(value, deep=False)
        return value

    def _joined(self, values: list[Any]) -> str:
        self.weigh(values)
        return "".join(map(str, values))


@pass_context
def _finalize(context: Context, value: Any) -> Any:
    """What is written, on its way to become text."""
    assert isinstance(context.environment, MeteredEnvironment)
    context.environment.weigh(value)
    return value


def _is_wide(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > _WIDEST


def _factor(name: str, given: list[Any], sizes: list[int]) -> int:
    """The longest of what the first of `given` may be multiplied by."""
    first = 0 if name == "join" and isinstance(given[0], str) else 1  # where it is what joins
    return max([1, *(size for each, size in zip(given[first:], sizes[first:], strict=True)
                     if isinstance(each, (str, *_COLLECTIONS)))])  # fmt: skip
