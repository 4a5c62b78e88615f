"""Paths of WebSocket connections: what they are for."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from engine.exchange.face import ConnKind


class Target(NamedTuple):
    """What a WebSocket path is for; `names` of streams, `query` decoded."""

    kind: ConnKind
    is_combined: bool = False
    names: tuple[str, ...] = ()
    query: Mapping[str, list[str]] = {}
    path: str = ""


def split_target(target: str) -> tuple[str, dict[str, list[str]]]:
    """Path and decoded query of a WebSocket's target."""
    try:
        url = urlsplit(target)
        return url.path, parse_qs(url.query, max_num_fields=64)
    except ValueError:
        return target.partition("?")[0], {}


def stream_names(path_tail: str) -> tuple[str, ...]:
    """Streams in `/ws/a/b`; a lone name without `@` or `!` is a number that ccxt gives its
    connections."""
    names = tuple(name for name in path_tail.split("/") if name)
    if len(names) == 1 and "@" not in names[0] and not names[0].startswith("!"):
        return ()
    return names
