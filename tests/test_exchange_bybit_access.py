"""engine.exchange.bybit: what a key may, request by request, and whose a connection is."""

from typing import Any

import pytest
from bybit_client import BTC, Client, digest, order_of, quiet_core

from engine.exchange.keys import Key
from engine.exchange.stack import make_face

UPDATE = "/v5/user/update-sub-api"


@pytest.fixture
def client() -> Client:
    return Client()


def other_key(client: Client) -> Key:
    return client.core.keys[1].keys[0]


def update(client: Client, **fields: Any) -> Any:
    management = client.core.keyring.management
    return client.post(UPDATE, management, apikey=client.key.api_key, **fields)["result"]


def trader(client: Client) -> int:
    conn = client.open("/v5/trade")
    assert client.logon(conn)["retCode"] == 0
    return conn


def place(client: Client, conn: int) -> int:
    code: int = client.trade(conn, "order.create", order_of())["retCode"]
    return code


# -- KEYS THAT CHANGE AFTER THE LOGON ---


def test_key_made_read_only_trades_no_more_on_its_trade_connection(client: Client) -> None:
    conn = trader(client)
    assert place(client, conn) == 0
    update(client, readOnly=1)
    assert place(client, conn) == 10005
    batch = {"category": "linear", "request": [order_of()]}
    assert client.trade(conn, "order.create-batch", batch)["retCode"] == 10005
    assert len(client.core.open_orders(0, BTC)) == 1
    update(client, readOnly=0)
    assert place(client, conn) == 0


def test_new_addresses_hold_on_connections_that_are_up(client: Client) -> None:
    conn, listener = trader(client), client.private("order")
    update(client, ips=["10.0.0.1"])
    assert place(client, conn) == 10010
    refused = client.say(listener, op="subscribe", args=["wallet"])[0]
    assert (refused["success"], refused["ret_msg"]) == (False, "Request not authorized")
    update(client, ips=["127.0.0.1"])
    assert place(client, conn) == 0
    assert client.say(listener, op="subscribe", args=["wallet"])[0]["success"] is True


def test_deleted_key_is_unknown_on_its_trade_connection(client: Client) -> None:
    conn = trader(client)
    management = client.core.keyring.management
    client.post("/v5/user/delete-sub-api", management, apikey=client.key.api_key)
    assert place(client, conn) == 10003
    assert client.say(conn, op="ping")[0]["op"] == "pong"


def test_read_only_is_documented_to_end_when_an_update_does_not_name_it(client: Client) -> None:
    assert update(client, readOnly=1)["readOnly"] == 1
    assert update(client, readOnly=1, ips="127.0.0.1")["readOnly"] == 1
    assert client.order()["retCode"] == 10005
    assert update(client, ips="127.0.0.1")["readOnly"] == 0
    assert client.order()["retCode"] == 0


# -- THE MANAGEMENT KEY ---


@pytest.mark.parametrize("fields", [{}, {"readOnly": 0}, {"readOnly": 1}])
def test_management_key_can_not_give_itself_trading(
    client: Client, fields: dict[str, Any]
) -> None:
    management = client.core.keyring.management
    told = client.post("/v5/user/update-api", management, **fields)["result"]["permissions"]
    assert (told["ContractTrade"], told["Spot"], told["Derivatives"]) == ([], [], [])
    assert client.post("/v5/order/create", management, **order_of())["retCode"] == 10005
    assert client.core.keyring.find(management.api_key) == management


KEYS_OWN = ("/v5/user/", "/v5/market/")


def test_management_key_reaches_no_account(client: Client) -> None:
    management = client.core.keyring.management
    fields = {**order_of(), "product": "SPOT", "timeWindow": 10, "accountType": "UNIFIED",
              "buyLeverage": "5", "sellLeverage": "5", "mode": 3}  # fmt: skip
    routes = [route for route in client.face.routes() if not route[1].startswith(KEYS_OWN)]
    assert len(routes) > 15
    for method, path in routes:
        ask = client.get if method == "GET" else client.post
        told = fields if "batch" not in path else {"category": "linear", "request": [fields]}
        answer = ask(path, management, **told)
        assert (path, answer["retCode"]) == (path, 10005)
    conn = client.open("/v5/trade")
    assert client.logon(conn, management)["retCode"] == 0
    assert place(client, conn) == 10005
    listener = client.open("/v5/private")
    assert client.logon(listener, management)["success"] is True
    for topic in ("order", "wallet", "dcp.future"):
        assert client.say(listener, op="subscribe", args=[topic])[0]["success"] is False
    assert not client.core.open_orders(-1, BTC)


# -- ONE ACCOUNT A CONNECTION ---


def test_second_logon_on_a_private_connection_is_refused(client: Client) -> None:
    conn = client.private("order")
    for key in (other_key(client), client.key):
        again = client.logon(conn, key)
        assert (again["success"], again["ret_msg"]) == (False, "Repeat auth")
    order = {**order_of(), "orderLinkId": "theirs"}
    assert client.post("/v5/order/create", other_key(client), **order)["retCode"] == 0
    assert client.take(conn) == []
    client.order(orderLinkId="own")
    (told,) = client.take(conn)
    assert told["data"][0]["orderLinkId"] == "own"


def test_failed_logon_may_be_repeated(client: Client) -> None:
    conn = client.open("/v5/private")
    expires = client.now_ns // 1_000_000 + 5_000
    wrong = [client.key.api_key, expires, digest("no secret", f"GET/realtime{expires}")]
    assert client.say(conn, op="auth", args=wrong)[0]["success"] is False
    assert client.logon(conn)["success"] is True


def test_protection_is_of_the_account_that_logged_on_first(client: Client) -> None:
    client.post("/v5/order/disconnected-cancel-all", product="DERIVATIVES", timeWindow=3)
    client.wait(11)
    conn = client.private("dcp.future")
    client.logon(conn, other_key(client))
    client.order()
    client.lose(conn)
    client.wait(3.1)
    assert client.core.open_orders(0, BTC) == []


def test_client_that_is_heard_of_no_more_is_dead_whatever_it_is_told(client: Client) -> None:
    client.post("/v5/order/disconnected-cancel-all", product="DERIVATIVES", timeWindow=3)
    client.wait(11)
    conn = client.open("/v5/private?max_active_time=30s")
    client.logon(conn)
    client.say(conn, op="subscribe", args=["dcp.future", "order"])
    talker = client.private("dcp.spot", "order")
    for _ in range(7):
        if conn not in client.closed:
            client.order(qty="0.001", price="58000")
        client.wait(10)
        client.say(talker, op="ping")
    assert (conn in client.closed, talker in client.closed) == (True, False)
    assert client.core.open_orders(0, BTC) == []


def test_account_info_has_no_say_in_the_protection(client: Client) -> None:
    """Its two fields are documented as deprecated, always OFF and 0."""
    client.post("/v5/order/disconnected-cancel-all", product="SPOT", timeWindow=40)
    (told,) = client.get("/v5/account/query-dcp-info")["result"]["dcpInfos"]
    assert (told["dcpStatus"], told["timeWindow"]) == ("ON", "40")
    info = client.get("/v5/account/info")["result"]
    assert (info["dcpStatus"], info["timeWindow"]) == ("OFF", 0)


# -- LIMITS, INSTRUMENTS ---


@pytest.mark.parametrize("factor", [1, 3])
def test_limit_factor_multiplies_the_limits(factor: int) -> None:
    client = Client()
    client.face = make_face("bybit", client.core, factor)  # type: ignore[assignment]
    codes = [client.order(qty="0.001", price="58000")["retCode"] for _ in range(10 * factor + 1)]
    assert codes == [0] * 10 * factor + [10006]


def test_spot_lots_are_the_recorded_ones() -> None:
    core = quiet_core(keys=("spot/SOLUSDT",))
    client = Client(core=core)
    info = client.public("/v5/market/instruments-info", category="spot", symbol="SOLUSDT")
    assert info["result"]["list"][0]["lotSizeFilter"]["basePrecision"] == "0.0001"
    sol = {"category": "spot", "symbol": "SOLUSDT", "price": "140"}
    assert client.order(**sol, qty="0.1234")["retCode"] == 0
    assert client.order(**sol, qty="0.12345")["retCode"] == 170137
