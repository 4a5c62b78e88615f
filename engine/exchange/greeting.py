"""What the exchange says when it is ready: one JSON line for programs, a few lines for people."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.exchange.keys import AccountKeys
from engine.exchange.server import ExchangeServer

# A first thing to try at each venue: a path for curl; ccxt's class, symbol and options.
FIRST_STEPS = {
    "binance_usdm": ("/fapi/v1/time", "binanceusdm", "BTC/USDT:USDT", {}),
    "binance_spot": (
        "/api/v3/time", "binance", "BTC/USDT", {"fetchMarkets": {"types": ["spot"]}},
    ),
    "bybit": (
        "/v5/market/time", "bybit", "BTC/USDT:USDT",
        {"fetchMarkets": {"types": ["spot", "linear"]}},
    ),
}  # fmt: skip


def ready_document(server: ExchangeServer, ca_file: Path | None) -> dict[str, Any]:
    """Addresses and keys: what any client needs to trade here."""
    core = server.face.core
    management = core.keyring.management
    document = {
        "venue": server.face.name,
        **server.urls,
        "admin_url": server.admin_url,
        "symbols": list(core.markets),
        "accounts": [_account(account) for account in core.keys],
        "management": {"api_key": management.api_key, "secret": management.secret},
    }
    return document if ca_file is None else {**document, "ca_file": str(ca_file)}


def _account(account: AccountKeys) -> dict[str, Any]:
    keys = [{"api_key": key.api_key, "secret": key.secret} for key in account.keys]
    ed25519 = account.ed25519
    return {
        "name": account.name,
        **keys[0],
        "keys": keys,
        "ed25519": {"api_key": ed25519.api_key, "private_key_pem": ed25519.private_key_pem},
    }


def ready_json(document: dict[str, Any]) -> str:
    return json.dumps(document)


def ready_text(document: dict[str, Any]) -> str:
    """The same facts, to read."""
    return "\n".join(_lines(document))


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"local exchange: {document['venue']}, {', '.join(document['symbols'])}"
    yield f"  REST        {document['rest_url']}"
    yield from _url_lines("WebSocket", document["ws_url"])
    yield f"  admin       {document['admin_url']}   (/health /state /truth /book /faults)"
    if "ca_file" in document:
        yield f"  trust       {document['ca_file']}   (curl --cacert; gone when this ends)"
    yield "keys (worthless: they open this exchange only)"
    for account in document["accounts"]:
        for key in account["keys"]:
            yield f"  {account['name']}    key {key['api_key']}"
            yield f"              secret {key['secret']}"
        yield f"              Ed25519 key {account['ed25519']['api_key']}"
        for line in account["ed25519"]["private_key_pem"].strip().splitlines():
            yield f"              {line}"
    yield f"  management  key {document['management']['api_key']}"
    yield f"              secret {document['management']['secret']}"
    yield from _first_steps(document)


def _first_steps(document: dict[str, Any]) -> Iterator[str]:
    """Lines to paste. Any venue's REST addresses in ccxt are moved by their hosts."""
    path, name, symbol, options = FIRST_STEPS[document["venue"]]
    rest_url, account = document["rest_url"], document["accounts"][0]
    ca_file = document.get("ca_file")
    trust = f"--cacert {ca_file} " if ca_file else ""
    yield "try   (Ctrl-C ends the exchange; --json tells all this to programs)"
    yield f"  curl -s {trust}{rest_url}{path}"
    yield f"  {f'REQUESTS_CA_BUNDLE={ca_file} ' if ca_file else ''}python -c '"
    yield "import ccxt, json, re"
    keys = {"apiKey": account["api_key"], "secret": account["secret"], "options": options}
    if ca_file:
        keys["requests_trust_env"] = True  # else ccxt doesn't look at that variable
    literal = json.dumps(keys).replace(": true", ": True")
    yield f"ex = ccxt.{name}({literal})"
    moved = f're.sub(r"https://[^/\\"]+", "{rest_url}", json.dumps(ex.urls["api"]))'
    yield f'ex.urls["api"] = json.loads({moved})'
    yield f"print(ex.fetch_ticker(\"{symbol}\"))'"


def _url_lines(head: str, urls: Any) -> Iterator[str]:
    """One line a kind of stream."""
    if isinstance(urls, str):
        yield f"  {head:<11} {urls}"
        return
    for kind, url in urls.items():
        yield from _url_lines(head, url) if isinstance(url, dict) else [
            f"  {head:<11} {url}   ({kind})"
        ]
        head = ""
