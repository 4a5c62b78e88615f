"""The same clients over https and wss, trusting the exchange's throw-away authority."""

from copy import deepcopy

import ccxt
import ccxt.pro
import pytest
from targets import BYBIT_SPOT, SPOT, USDM, Target
from trader import Trader
from venue import exchange


@pytest.mark.parametrize("one", [USDM, SPOT, BYBIT_SPOT], ids=lambda target: target.name)
async def test_rest_and_streams(one: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    with exchange(one.venue, "--tls") as venue:
        assert venue.rest.startswith("https://")
        authority = venue.ready["ca_file"]
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority)
        api = one.make(ccxt, venue, venue.keys(0))
        api.session.trust_env = True
        api.load_markets()
        placed = Trader(one, api).rest()
        api.cancel_order(placed["id"], one.symbol)
        live = one.make(ccxt.pro, venue, venue.keys(0))
        live.set_markets(deepcopy(api.markets))
        live.cafile = authority
        try:
            book = await live.watch_order_book(one.symbol)
            assert book["bids"][0][0] < book["asks"][0][0]
            placed = await live.create_order_ws(
                one.symbol, "limit", "buy", 0.01, Trader(one, api).far()
            )
            await live.cancel_order_ws(placed["id"], one.symbol)
        finally:
            await live.close()
