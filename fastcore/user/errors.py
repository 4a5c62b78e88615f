"""StrategyError, and the user's source that it quotes."""

import ast
import hashlib
import linecache
from types import FunctionType
from typing import NamedTuple


class StrategyError(ValueError):
    """What is wrong with a user's strategy, where, and what to do: short, in the user's own lines.

    `details` holds the compiler's whole text where there is one.
    """

    def __init__(
        self, what: str, path: str = "", line: int = 0, column: int = -1, details: str = ""
    ) -> None:
        self.what, self.path, self.line, self.column = what, path, line, column
        self.details = details
        super().__init__(f"{self._place()}{what}{self._quoted()}")

    def _place(self) -> str:
        if not self.path:
            return ""
        return f"{self.path}:{self.line}: " if self.line else f"{self.path}: "

    def _quoted(self) -> str:
        text = linecache.getline(self.path, self.line).rstrip() if self.line else ""
        if not text.strip():
            return ""
        cut = len(text) - len(text.lstrip())
        caret = f"\n    {' ' * (self.column - cut)}^" if self.column >= cut else ""
        return f"\n    {text.lstrip()}{caret}"


class Source(NamedTuple):
    """The text that a function stands in, and its syntax tree with the file's own line numbers."""

    path: str
    name: str
    text: str
    line: int
    tree: ast.FunctionDef | None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def error(
        self, what: str, node: ast.AST | None = None, line: int = 0, details: str = ""
    ) -> StrategyError:
        """An error at `node`, at `line`, or at the function."""
        if node is not None:
            line = int(getattr(node, "end_lineno", 0) or 0)
            column = int(getattr(node, "col_offset", -1))
            if isinstance(node, ast.Attribute):
                column = int(node.end_col_offset or 0) - len(node.attr)
            else:
                line = int(getattr(node, "lineno", line))
            text = linecache.getline(self.path, line).encode()[:column].decode(errors="replace")
            return StrategyError(what, self.path, line, len(text), details)
        return StrategyError(what, self.path, line or self.line, -1, details)


def source_of(function: FunctionType) -> Source:
    """Without its text (typed at a prompt) a function can be compiled, but not explained."""
    code = function.__code__
    path, line = code.co_filename, code.co_firstlineno
    text = "".join(linecache.getlines(path))
    found = None
    if text:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name == function.__name__:
                first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
                if line in (first, node.lineno):
                    found = node
    return Source(path, function.__name__, text, found.lineno if found else line, found)
