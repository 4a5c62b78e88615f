"""load("my_file.py:my_quotes"): a strategy from a file of the user's."""

import linecache
import sys
import traceback
from pathlib import Path
from types import ModuleType

from fastcore.user.compiled import Strategy, UserStrategy
from fastcore.user.errors import StrategyError


def split(spec: str) -> tuple[str, str]:
    """`path.py:function` in two; StrategyError when it is not so."""
    path, colon, name = spec.rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        raise StrategyError(f"Expected path/to/file.py:function, was {spec!r}")
    return path, name


def load(spec: str, source: str | None = None) -> UserStrategy:
    """Compile the strategy that `spec` names. With `source` the text is that, and the file is
    only its name. StrategyError: no such file or function, not decorated, does not compile."""
    path, name = split(spec)
    module = _run(path, _read(path) if source is None else source)
    found = module.__dict__.get(name)
    if found is None:
        there = [key for key, value in module.__dict__.items() if isinstance(value, Strategy)]
        known = f"its strategies: {', '.join(there)}" if there else "it has no @strategy at all"
        raise StrategyError(f"no function {name!r}; {known}", path)
    if not isinstance(found, Strategy):
        line = getattr(getattr(found, "__code__", None), "co_firstlineno", 0)
        raise StrategyError(
            f"{name} is not a strategy: put @strategy(...) above it"
            " (from fastcore.user import strategy)", path, line,
        )  # fmt: skip
    return found.compile()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StrategyError("no such file", path) from None
    except OSError as error:
        raise StrategyError(f"can't be read: {error.strerror}", path) from None
    except UnicodeDecodeError:
        raise StrategyError("is not UTF-8 text", path) from None


def _run(path: str, source: str) -> ModuleType:
    """The file as a module of its own. It stays out of sys.path: a strategy is one file."""
    # Errors quote these lines, whatever happens to the file while it runs.
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    module = ModuleType(f"user_strategy_{Path(path).stem}")
    module.__file__ = path
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    except StrategyError:
        raise
    except SyntaxError as error:
        inside = error.filename == path
        raise StrategyError(
            f"syntax error: {error.msg}", path, (error.lineno or 0) if inside else 0,
            (error.offset or 0) - 1,
        ) from None  # fmt: skip
    except (Exception, SystemExit) as error:
        lines = [f.lineno or 0 for f in traceback.extract_tb(error.__traceback__)
                 if f.filename == path]  # fmt: skip
        raise StrategyError(
            f"{type(error).__name__} while it was imported: {error}"
            + (_ONE_FILE if isinstance(error, ModuleNotFoundError) else ""),
            path, lines[-1] if lines else 0, details=traceback.format_exc(),
        ) from None  # fmt: skip
    return module


_ONE_FILE = "; a strategy is one file, and imports installed packages only"
