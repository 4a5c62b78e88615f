"""One peer's decoder on one message, for bench/parts.py: run by an interpreter that has the peer.

    python decode_peers.py PEER MESSAGE_FILE

Reads a number of calls from each line of standard input, decodes the message so often and answers
with a line of JSON: {"ns": nanoseconds of processor time a call}. Nothing of Tickmaker is
imported.

orjson          orjson.loads, then every price and quantity text to a whole number of ticks or
                lots by taking the point out, and the ids: what a Python client must do to count
msgspec         msgspec's decoder of exactly the fields that matter, typed; texts stay texts
json            the standard library's loads alone
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Decode = Callable[[bytes], Any]


def _units(text: str) -> int:
    return int(text.replace(".", ""))


def orjson() -> Decode:
    loads = import_module("orjson").loads

    def decode(buf: bytes) -> Any:
        data = loads(buf)["data"]
        if "U" not in data:
            return (data["u"], data["T"], _units(data["b"]), _units(data["B"]),
                    _units(data["a"]), _units(data["A"]))  # fmt: skip
        return (
            data["U"], data["u"], data["pu"], data["T"],
            [(_units(px), _units(qty)) for px, qty in data["b"]],
            [(_units(px), _units(qty)) for px, qty in data["a"]],
        )  # fmt: skip

    return decode


def msgspec() -> Decode:
    module = import_module("msgspec")
    best = module.defstruct("Best", [(name, str) for name in "sbBaA"] + [("u", int), ("T", int)])
    levels = list[tuple[str, str]]
    depth = module.defstruct(
        "Depth", [("s", str), *((name, int) for name in ("U", "u", "pu", "T")), ("b", levels),
                  ("a", levels)],
    )  # fmt: skip
    wrapped = [
        module.json.Decoder(module.defstruct("Wrapped", [("data", kind)]))
        for kind in (best, depth)
    ]
    return lambda buf: wrapped[b'"depthUpdate"' in buf].decode(buf)


PEERS: dict[str, Callable[[], Decode]] = {
    "orjson": orjson,
    "msgspec": msgspec,
    "json": lambda: json.loads,
}


def main(name: str, message: Path) -> None:
    decode, buf = PEERS[name](), message.read_bytes()
    for line in sys.stdin:
        count = int(line)
        began = time.thread_time_ns()
        for _ in range(count):
            decode(buf)
        took = time.thread_time_ns() - began
        print(json.dumps({"ns": took / count}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
