"""The compiler's errors in short: one sentence, at a line of the user's."""

import re

from fastcore.user.errors import Source, StrategyError

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PLACE = re.compile(r'File "([^"]+)", line (\d+)|at ([^\s()]+) \((\d+)\)')
# What Numba says -> what we say; the first that matches is taken.
_KNOWN: tuple[tuple[str, str], ...] = (
    (r"tickmaker: '(\w+)' is read-only", r"'\1' is read-only"),
    (r"Cannot modify readonly array", "view and params are read-only"),
    (r"NameError: (?:global )?name '(\w+)' is not defined", r"the name '\1' is not defined"),
    (
        r"Untyped global name '(\w+)':.*?<class 'function'>",
        r"'\1' is a plain Python function: put @helper above it (from fastcore.user import"
        r" helper)",
    ),
    (
        r"Untyped global name '(\w+)'",
        r"'\1' can't be used inside a strategy: numbers, numpy, math and @helper functions can",
    ),
    (r"Unknown attribute '(\w+)' of type Module\((.*?)\)", r"\2.\1 can't be compiled"),
    (r"Unknown attribute '(\w+)'", r"there is no '\1' here"),
    (r"Field '(\w+)' was not found in record", r"there is no field '\1'"),
    (
        r"Cannot unify .* for '(\w+?)(?:\.\d+)?', defined",
        r"'\1' is a number in one place and something else in another",
    ),
    (
        r"Can't unify return type|can't unify types",
        "it returns a number in one place and something else in another",
    ),
    (
        r"No implementation of function Function\(<function (quote_bid|quote_ask) ",
        r"\1 takes (target, px, qty), numbers both",
    ),
    (
        r"No implementation of function Function\(<function (take|hedge) ",
        r"\1 takes (target, side, px, qty, reason), numbers all",
    ),
    (
        r"No implementation of function Function"
        r"\(<(?:built-in )?(?:function|class) '?(\w+)[^>]*>\)",
        r"'\1' can't be done with these values: numbers only",
    ),
    (r"Invalid use of (\S+)", r"\1 can't be used so"),
    (
        r"variable '(\w+?)(?:\.\d+)?' referenced before assignment",
        r"'\1' may be used before it has a value",
    ),
)  # fmt: skip


def explained(error: BaseException, source: Source) -> StrategyError:
    """A StrategyError for whatever the compiler raised."""
    if isinstance(error, KeyError):  # of a record, in a helper: Numba says the name, no more
        return source.error(f"there is no field {error}")
    details = _COLOUR.sub("", str(error))
    flat = " ".join(details.split())
    for pattern, sentence in _KNOWN:
        match = re.search(pattern, flat)
        if match:
            what = match.expand(sentence)
            break
    else:
        what = f"can't be compiled: {_first_sentence(details)}"
    return source.error(what, line=_line(error, details, source), details=details)


def _line(error: BaseException, details: str, source: Source) -> int:
    """The last place in the user's file that the compiler names: the innermost."""
    location = getattr(error, "loc", None)
    found = [
        int(match[2] or match[4])
        for match in _PLACE.finditer(details)
        if (match[1] or match[3]).endswith(source.path.rpartition("/")[2])
    ]
    if location is not None and location.filename == source.path and location.line:
        return int(location.line)
    return found[-1] if found else 0


def _first_sentence(details: str) -> str:
    for line in details.splitlines():
        text = line.strip()
        if text and not text.startswith("Failed in nopython mode pipeline"):
            return text[:160]
    return "no reason given"
