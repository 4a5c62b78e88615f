"""engine.venues.hosts: what is read in one way only."""

import pytest

from engine.venues import hosts


@pytest.mark.parametrize("host", [
    "fapi\u3002binance\u3002com", "api\uff0ebinance\uff0ecom", "872415232", "0x34549601", "1.1",
    "52.84.150.0x1", "fapi%2ebinance%2ecom", "api.binance.com\x00.test", "api.binance.com;.test",
    "a..test", "\uff4cocalhost", ".", "",
])  # fmt: skip
def test_a_host_that_not_everybody_reads_alike_is_none(host: str) -> None:
    """Of the first, the WebSocket library makes production's own address (IDNA)."""
    for kind in (hosts.is_production, hosts.is_local, hosts.is_loopback, hosts.is_test):
        with pytest.raises(ValueError, match="Expected a"):
            kind(f"wss://{host}/ws-api/v3")


@pytest.mark.parametrize("host", [
    "[::1]", "127.0.0.1", "venue", "v-1.lan", "a_b.test", "10.0.0.7",
])  # fmt: skip
def test_what_is_local_stays_so(host: str) -> None:
    assert hosts.is_local(f"https://{host}:8443/x")


def test_one_place_has_one_name() -> None:
    same = ("https://api-testnet.bybit.com", "https://API-testnet.Bybit.com.:443/v5")
    assert {hosts.place_of(url) for url in same} == {"api-testnet.bybit.com:443"}
    assert hosts.place_of("http://127.0.0.1:7001") != hosts.place_of("http://127.0.0.1:7002")
