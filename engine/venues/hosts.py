"""Which addresses are real money. No list of test hosts can be complete, so what is not known as a
test, and is not ours, counts as real: a proxy in front of the venue is no way around a refusal.

Sources: binance-spot-api-docs (rest-api.md, testnet/general-info.md, demo-mode/general-info.md),
developers.binance.com (USD-M futures, general info); bybit-exchange.github.io/docs/v5 (websocket
connect, demo trading).
"""

import ipaddress
import re
from urllib.parse import urlsplit

# Exact names, or parents of names where a dot leads.
TEST_HOSTS = (
    # Spot: testnet, demo mode.
    ".testnet.binance.vision", "testnet.binance.vision",
    "demo-api.binance.com", "demo-ws-api.binance.com", "demo-stream.binance.com",
    "demo-stream-sbe.binance.com",
    # USD-M: testnet (all of the domain), demo mode.
    ".binancefuture.com", "demo-fapi.binance.com", "demo-fstream.binance.com",
    "demo-ws-fapi.binance.com",  # unverified: by its pattern
    # Bybit: testnet, demo trading (whose public data are production's own).
    "api-testnet.bybit.com", "stream-testnet.bybit.com", "api-demo.bybit.com",
    "stream-demo.bybit.com",
    "api-demo-testnet.bybit.com", "stream-demo-testnet.bybit.com",  # unverified
)  # fmt: skip
# Names that no public host has: RFC 6761, RFC 6762, RFC 9476; and local networks' own.
LOCAL_SUFFIXES = (".localhost", ".test", ".local", ".internal", ".lan", ".home.arpa")
# What all who read a name read alike. Clients fold other dots (U+3002) and letters to these, and
# resolvers take a name that ends in a number for an IPv4 address in short (URL Standard, 3.5): by
# either an address of production could pass for a local name.
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_NUMBER = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)", re.ASCII)
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def host_of(url: str) -> str:
    """Lower case, without port or final dot; ValueError: the URL has none, or one that not
    everybody reads alike."""
    host = (urlsplit(url).hostname or "").removesuffix(".")
    if not host:
        raise ValueError("Expected a URL with a host, such as https://host/path")
    if not _is_address(host) and (not _NAME.fullmatch(host) or _NUMBER.fullmatch(host)):
        raise ValueError("Expected a host of plain letters and digits, or a whole IP address")
    return host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def place_of(url: str) -> str:
    """Host and port: what is one place under whatever spelling."""
    parts = urlsplit(url)
    return f"{host_of(url)}:{parts.port or _PORTS.get(parts.scheme, 0)}"


def is_test(url: str) -> bool:
    """A venue's testnet or demo."""
    host = host_of(url)
    return any(
        host.endswith(name) if name.startswith(".") else host == name for name in TEST_HOSTS
    )


def is_local(url: str) -> bool:
    """This host or this network: the local exchange."""
    host = host_of(url)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(LOCAL_SUFFIXES)
    return address.is_loopback or address.is_private or address.is_link_local


def is_loopback(url: str) -> bool:
    """This host itself."""
    host = host_of(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_production(url: str) -> bool:
    """Real money, as far as anybody can tell: neither a test nor local."""
    return not is_test(url) and not is_local(url)
