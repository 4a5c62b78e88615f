"""What can be said about a strategy before it is compiled, read from its syntax tree.

The compiler would find most of this too, but in its own words and one level too deep. What it
would not find: a signal that is read but not declared is 0.0, a level that is not declared is
never filled, and random numbers make a run that can't be verified.
"""

import ast
import difflib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from fastcore.signals import SIGNALS
from fastcore.user.abi import TARGET, VIEW
from fastcore.user.errors import Source

ARGUMENTS = ("view", "params", "state", "target")
# Fields of SignalValues whose name does not begin with the name of their signal.
SIGNAL_OF = {
    "ewma_mean_ticks": "ewma_z",
    "ewma_sd_ticks": "ewma_z",
    "spread_mean_ticks": "spread_stats",
    "spread_sd_ticks": "spread_stats",
}
_REFUSED: dict[type[ast.AST], str] = {
    ast.Import: "import at the top of the file, not inside the strategy",
    ast.ImportFrom: "import at the top of the file, not inside the strategy",
    ast.Yield: "a strategy returns once a call: it can't be a generator",
    ast.YieldFrom: "a strategy returns once a call: it can't be a generator",
    ast.Await: "a strategy can't wait for anything",
    ast.With: "`with` is not possible here: a strategy opens nothing",
    ast.Global: "no global variables: keep numbers in `state`",
    ast.Nonlocal: "no variables of an outer function: keep numbers in `state`",
    ast.ClassDef: "no classes inside a strategy: keep numbers in `state`",
    ast.JoinedStr: "no text inside a strategy: it has nobody to show it to",
}
_NOT_CALLED = {
    "print": "no printing inside a strategy: keep the number in `state`, or call the function in"
    " plain Python (docs/user_strategies.md)",
    "open": "a strategy opens no file",
    "input": "a strategy asks nobody",
    "eval": "a strategy is compiled once: no eval",
    "exec": "a strategy is compiled once: no exec",
}
_NONDETERMINISTIC = ("random", "time", "datetime", "os", "secrets", "uuid")


def signal_of(field: str) -> str | None:
    """The declared signal that fills a field of view.signals; None: filled always, or unknown."""
    if field in SIGNAL_OF:
        return SIGNAL_OF[field]
    near = [name for name in SIGNALS if field == name or field.startswith(f"{name}_")]
    return max(near, key=len) if near else None


def check_arguments(source: Source, arguments: ast.arguments) -> list[str]:
    """The names of the four; StrategyError unless they are four, plain and positional."""
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    others = [*arguments.kwonlyargs, *arguments.defaults, arguments.vararg, arguments.kwarg]
    if len(names) != len(ARGUMENTS) or any(others):
        raise source.error(
            f"{source.name} must take four arguments, ({', '.join(ARGUMENTS)}), and no others"
        )
    return names


def check_source(
    source: Source, names: dict[str, Any], params: np.dtype[Any], signals: list[str],
    levels: int, state: int,
) -> None:  # fmt: skip
    """StrategyError for the first thing that is wrong; `names` are the function's globals."""
    if source.tree is None:
        return
    modules = {key: value for key, value in names.items() if isinstance(value, ModuleType)}
    arguments = check_arguments(source, source.tree.args)
    body = [node for statement in source.tree.body for node in ast.walk(statement)]
    for node in body:
        _check_node(source, node, modules)
    chains = _Chains(source, arguments, params, signals, levels, state)
    for node in body:
        chains.check(node)
    _check_returns(source)


def _check_node(source: Source, node: ast.AST, modules: dict[str, ModuleType]) -> None:
    for kind, what in _REFUSED.items():
        if isinstance(node, kind):
            raise source.error(what, node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in _NOT_CALLED:
            raise source.error(_NOT_CALLED[node.func.id], node)
        if node.func.id == source.name:
            raise source.error(f"{source.name} can't call itself", node)
    if isinstance(node, ast.While) and isinstance(node.test, ast.Constant):
        ends = any(isinstance(inside, ast.Break | ast.Return) for inside in ast.walk(node))
        if node.test.value and not ends:
            raise source.error("a loop without an end: nothing could stop it", node)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        module = modules.get(node.value.id)
        if module is None:
            return
        if node.attr in _NONDETERMINISTIC or module.__name__ in _NONDETERMINISTIC:
            raise source.error(
                f"`{ast.unparse(node)}` inside a strategy: a run could not be replayed; the time"
                " is view.now_ns", node,
            )  # fmt: skip
        if not hasattr(module, node.attr):
            raise source.error(f"{module.__name__} has no {node.attr!r}", node)


def _returns(tree: ast.FunctionDef) -> Iterator[ast.Return]:
    """Return statements of the function itself, not of functions inside it."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Return):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _check_returns(source: Source) -> None:
    assert source.tree is not None
    found = list(_returns(source.tree))
    for node in found:
        empty = isinstance(node.value, ast.Constant) and node.value.value is None
        if node.value is None or empty:
            raise source.error("return QUOTE, or STAND_ASIDE, not nothing", node)
    if not found:
        raise source.error(
            f"{source.name} returns nothing: end it with `return QUOTE` (`from fastcore.user"
            " import QUOTE, STAND_ASIDE`)"
        )


class _Chains:
    """Follows view.bids[0].px_ticks through the structs."""

    def __init__(
        self, source: Source, names: list[str], params: np.dtype[Any], signals: list[str],
        levels: int, state: int,
    ) -> None:  # fmt: skip
        self.source = source
        self.roots = dict(zip(names, ARGUMENTS, strict=True))
        self.types: dict[str, Any] = {"view": VIEW, "params": params, "target": TARGET}
        self.signals, self.levels, self.state = signals, levels, state

    def check(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            if node.id in self.roots:
                raise self.source.error(f"`{node.id}` is an argument: use another name", node)
        elif isinstance(node, ast.Attribute | ast.Subscript):
            if not isinstance(node.ctx, ast.Load):
                root = self._root(node)
                if root in ("view", "params"):
                    raise self.source.error(f"{root} is read-only", node)
                kind = self._type(node)
                if kind is not None and (kind.fields or kind.subdtype):
                    raise self.source.error("set its fields one by one, or use quote_bid", node)
            self._type(node)

    def _root(self, node: ast.AST) -> str | None:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        return self.roots.get(node.id) if isinstance(node, ast.Name) else None

    def _type(self, node: ast.AST) -> Any:
        """numpy dtype of what `node` reads; None where we don't follow."""
        if isinstance(node, ast.Name):
            return self.types.get(self.roots.get(node.id, ""))
        if isinstance(node, ast.Subscript):
            return self._element(node)
        if not isinstance(node, ast.Attribute):
            return None
        within = self._type(node.value)
        if within is None or not within.fields:
            return None
        return self._field(within, node)

    def _field(self, within: Any, node: ast.Attribute) -> Any:
        if node.attr not in within.fields:
            near = difflib.get_close_matches(node.attr, within.names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(within.names)}"
            where = ast.unparse(node.value)
            if self._root(node) == "params":
                hint += "; parameters are declared in @strategy(params={...})"
            raise self.source.error(f"{where} has no field {node.attr!r}: {hint}", node)
        is_signal = isinstance(node.value, ast.Attribute) and node.value.attr == "signals"
        needed = signal_of(node.attr) if is_signal else None
        if needed is not None and needed not in self.signals:
            raise self.source.error(
                f"{ast.unparse(node)} is always 0.0 here: declare it, "
                f"@strategy(signals={[*self.signals, needed]!r})", node,
            )  # fmt: skip
        return within.fields[node.attr][0]

    def _element(self, node: ast.Subscript) -> Any:
        within = self._type(node.value)
        index = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if self._root(node) == "state" and isinstance(node.value, ast.Name):
            self._check_index(node, index, self.state, "declare @strategy(state={})")
        if within is not None and isinstance(node.value, ast.Name) and within.fields:
            self._check_params_index(node, index)
            return None
        if within is None or within.subdtype is None:
            return None
        base, (size,) = within.subdtype
        self._check_index(node, index, size, "it has no more")
        field = node.value.attr if isinstance(node.value, ast.Attribute) else ""
        if self._root(node) == "view" and field in ("bids", "asks"):
            self._check_index(node, index, self.levels, "declare @strategy(levels={})")
        return base

    def _check_params_index(self, node: ast.Subscript, index: Any) -> None:
        if not isinstance(index, int) or self._root(node) != "params":
            raise self.source.error(
                f"{ast.unparse(node)}: fields are read by name, params also by a whole number that"
                " stands there", node,
            )  # fmt: skip
        self._check_index(node, index, len(self.types["params"].names), "it has no more")

    def _check_index(self, node: ast.Subscript, index: Any, size: int, remedy: str) -> None:
        if isinstance(index, int) and index >= size:
            raise self.source.error(
                f"{ast.unparse(node)} is past the end, {size} are there: "
                + remedy.format(index + 1),
                node,
            )
