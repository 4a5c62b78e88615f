"""What is traded with ccxt, and where: nothing of a client is changed but its addresses.

Refusals are judged by the venue's own codes, because ccxt's exception classes depend on the host
(its tables for Binance are chosen by address).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from venue import Keys, Venue

USDM_PATHS = {
    "fapiPublic": "/fapi/v1", "fapiPublicV2": "/fapi/v2", "fapiPublicV3": "/fapi/v3",
    "fapiPrivate": "/fapi/v1", "fapiPrivateV2": "/fapi/v2", "fapiPrivateV3": "/fapi/v3",
    "fapiData": "/futures/data", "sapi": "/sapi/v1",
}  # fmt: skip
SPOT_PATHS = {
    "public": "/api/v3", "private": "/api/v3", "v1": "/api/v1", "sapi": "/sapi/v1",
    "sapiV2": "/sapi/v2", "sapiV3": "/sapi/v3", "sapiV4": "/sapi/v4",
}  # fmt: skip


def to_usdm(client: Any, venue: Venue) -> None:
    client.urls["api"].update({name: venue.rest + path for name, path in USDM_PATHS.items()})
    client.urls["api"].setdefault("ws", {})["linear"] = venue.ws + "/ws"
    client.urls["api"]["ws"]["ws-api"] = {"linear": venue.ws + "/ws-fapi/v1"}


def to_spot(client: Any, venue: Venue) -> None:
    client.urls["api"].update({name: venue.rest + path for name, path in SPOT_PATHS.items()})
    client.urls["api"].setdefault("ws", {})["spot"] = venue.ws + "/stream/ws"
    client.urls["api"]["ws"]["ws-api"] = {"spot": venue.ws + "/ws-api/v3"}


def to_bybit(client: Any, venue: Venue) -> None:
    def moved(urls: Any) -> Any:
        if isinstance(urls, dict):
            return {name: moved(url) for name, url in urls.items()}
        return re.sub(r"wss://[^/]+", venue.ws, re.sub(r"https://[^/]+", venue.rest, urls))

    client.urls["api"] = moved(client.urls["api"])


@dataclass(frozen=True)
class Target:
    """`book`: the instrument's key at the exchange; `codes`: what each refusal is called."""

    name: str
    venue: str
    client: str
    symbol: str
    book: str
    connect: Callable[[Any, Venue], None]
    options: Mapping[str, Any]
    codes: Mapping[str, int]
    is_derivative: bool = False
    fetch: Mapping[str, Any] = field(default_factory=dict)  # parameters of fetch_order
    pace_s: float = 0.0  # between orders: Bybit takes ten a second

    @property
    def is_bybit(self) -> bool:
        return self.venue == "bybit"

    def make(self, module: Any, venue: Venue, keys: Keys) -> Any:
        """A client of `module` (ccxt or ccxt.pro) whose addresses lead here."""
        client = getattr(module, self.client)(
            {
                "apiKey": keys.api_key,
                "secret": keys.secret,
                "enableRateLimit": False,
                "options": dict(self.options),
            }
        )
        self.connect(client, venue)
        return client


BINANCE = {"fetchCurrencies": False, "fetchMargins": False}
BYBIT = {"fetchMarkets": {"types": ["spot", "linear"]}}
USDM = Target(
    "usdm", "binance_usdm", "binanceusdm", "BTC/USDT:USDT", "BTCUSDT", to_usdm, BINANCE,
    {
        "funds": -2019, "unknown": -2011, "absent": -2013, "decimals": -1111, "tick": -4014,
        "post_only": -5022, "signature": -1022, "no_key": -2015, "reduce_only": -2022,
        "symbol": -1121, "time": -1021, "small": -4164,
    },
    is_derivative=True,
)  # fmt: skip
SPOT = Target(
    "spot", "binance_spot", "binance", "BTC/USDT", "BTCUSDT", to_spot,
    {**BINANCE, "fetchMarkets": {"types": ["spot"]}},
    {
        "funds": -2010, "unknown": -2011, "absent": -2013, "decimals": -1111, "tick": -1013,
        "post_only": -2010, "signature": -1022, "no_key": -2015, "symbol": -1121, "time": -1021,
        "small": -1013,
    },
)  # fmt: skip
BYBIT_LINEAR = Target(
    "bybit-linear", "bybit", "bybit", "BTC/USDT:USDT", "linear/BTCUSDT", to_bybit, BYBIT,
    {
        "funds": 110007, "unknown": 110001, "tick": 10001, "decimals": 10001, "signature": 10004,
        "no_key": 10003, "reduce_only": 110017, "symbol": 10001, "time": 10002, "small": 110094,
    },
    is_derivative=True, fetch={"acknowledged": True}, pace_s=0.11,
)  # fmt: skip
BYBIT_SPOT = Target(
    "bybit-spot", "bybit", "bybit", "BTC/USDT", "spot/BTCUSDT", to_bybit, BYBIT,
    {
        "funds": 170131, "unknown": 170213, "tick": 170134, "decimals": 170134,
        "signature": 10004, "no_key": 10003, "symbol": 170121, "time": 10002, "small": 170140,
    },
    fetch={"acknowledged": True}, pace_s=0.11,
)  # fmt: skip
TARGETS = (USDM, SPOT, BYBIT_LINEAR, BYBIT_SPOT)


# ccxt quotes only the text where it knows an exception by it.
CODES_OF_TEXTS = {
    "binance Order would immediately match and take.": -2010,
    "binance Account has insufficient balance for requested action.": -2010,
}


def code_of(error: BaseException) -> int:
    """The venue's own code, from the answer that the client quotes."""
    text = str(error)
    if text in CODES_OF_TEXTS:
        return CODES_OF_TEXTS[text]
    document = json.loads(text[text.index("{") :])
    document = document.get("error", document)
    return int(document["code"] if "code" in document else document["retCode"])
