"""Settings and keys over signed REST of Bybit v5: leverage, position mode, disconnection
protection, and what a key is, may and when it ends.

The accounts' keys are sub-account keys, the management key is the master's. A key deletes itself
only with a transfer permission (here: `manage`), which a trading key lacks.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.exchange.bybit.auth import account_of, may
from engine.exchange.bybit.dcp import PRODUCTS, DeadMan
from engine.exchange.bybit.errors import VenueError
from engine.exchange.bybit.instruments import LEVERAGE_MAX
from engine.exchange.bybit.params import Fields
from engine.exchange.bybit.venue import FIRST_UID, Venue
from engine.exchange.commands import DeleteKey, SetLeverage, SetPositionMode, UpdateKey
from engine.exchange.instruments import Kind
from engine.exchange.keys import TRADING, Key

DCP_WINDOW_S = (3, 300)
HEDGE_MODE = 3
MARGIN_MODES = ("REGULAR_MARGIN", "ISOLATED_MARGIN", "PORTFOLIO_MARGIN")
ADDRESS_LENGTH_MAX = 64
ADDRESSES_MAX = 20
Values = Mapping[str, Any]


class KeyRest:
    """Each method takes the signing key and the body (or query), and returns `result`."""

    def __init__(self, venue: Venue, dead_man: DeadMan) -> None:
        self._venue = venue
        self._dead_man = dead_man

    # -- SETTINGS ---

    def set_leverage(self, key: Key, values: Values) -> Any:
        may(key, "trade")
        fields = _linear(values)
        instrument = self._venue.market(Kind.LINEAR, fields.needed("symbol")).instrument
        leverage = fields.whole_leverage("buyLeverage")
        if leverage != fields.whole_leverage("sellLeverage"):
            raise VenueError(10001, "buy leverage not equal sell leverage")
        if not 1 <= leverage <= LEVERAGE_MAX:
            raise VenueError(10001, "leverage invalid")
        account = account_of(key)
        if leverage == self._venue.core.accounts[account].leverage(instrument.key):
            raise VenueError(110043, "leverage not modified")
        self._venue.do(Kind.LINEAR, SetLeverage(account, instrument.key, leverage))
        return {}

    def switch_mode(self, key: Key, values: Values) -> Any:
        may(key, "trade")
        fields = _linear(values)
        mode = fields.integer("mode", -1, 0, HEDGE_MODE)
        if mode not in (0, HEDGE_MODE):
            raise VenueError(10001, "params error: mode invalid")
        if mode == 0:
            raise VenueError(110025, "Position mode is not modified")
        self._venue.do(Kind.LINEAR, SetPositionMode(account_of(key), is_hedge=True))
        return {}

    def set_margin_mode(self, key: Key, values: Values) -> Any:
        """Cross margin is all that this exchange has; the mode that is set is accepted."""
        may(key, "trade")
        mode = values.get("setMarginMode")
        if mode not in MARGIN_MODES:
            raise VenueError(10001, "params error: setMarginMode invalid")
        if mode != MARGIN_MODES[0]:
            raise VenueError(3400045, "Set margin mode failed")
        return {"reasons": []}

    def set_dcp(self, key: Key, values: Values) -> Any:
        may(key, "trade")
        fields = Fields(values, Kind.LINEAR)
        product = fields.text("product", "OPTIONS")
        if product not in PRODUCTS:
            raise fields.invalid("product")
        fields.needed("timeWindow")
        window_s = fields.integer("timeWindow", 0, *DCP_WINDOW_S)
        account = account_of(key)
        self._dead_man.set_window(account, product, window_s, self._venue.now_ns)
        return None

    # -- KEYS ---

    def query_api(self, key: Key, values: Values) -> Any:
        is_master = key.account < 0
        return {
            **self._key_fields(key),
            "type": 1,
            "deadlineDay": 83,
            "expiredAt": "2099-12-31T23:59:59Z",
            "createdAt": "2024-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": FIRST_UID + key.account,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": is_master,
            "parentUid": "0" if is_master else str(FIRST_UID - 1),
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        }

    def delete_api(self, key: Key, values: Values) -> Any:
        """Of a master key, by itself; the management key of this exchange stays."""
        may(key, "manage")
        return self._delete(key.api_key)

    def delete_sub_api(self, key: Key, values: Values) -> Any:
        may(key, "manage")
        name = Fields(values, Kind.LINEAR).text("apikey")
        if key.account >= 0:
            if name:
                raise VenueError(10001, "params error: apikey invalid")
            return self._delete(key.api_key)
        if not name:
            raise VenueError(10001, "params error: apikey invalid")
        return self._delete(name)

    def update_api(self, key: Key, values: Values) -> Any:
        """Of a key by itself."""
        may(key, "manage")
        return self._update(key, values)

    def update_sub_api(self, key: Key, values: Values) -> Any:
        may(key, "manage")
        name = Fields(values, Kind.LINEAR).text("apikey")
        target = key if key.account >= 0 else self._venue.core.keyring.find(name)
        if target is None or target.account < 0:
            raise VenueError(10001, "params error: apikey invalid")
        return self._update(target, values)

    def _delete(self, api_key: str) -> Any:
        self._venue.do(Kind.LINEAR, DeleteKey(api_key))
        return {}

    def _update(self, key: Key, values: Values) -> Any:
        """Only whether it may trade, and from where. Both calls of the documents ("Modify Sub API
        Key", "Modify Master API Key"): an absent `readOnly` is 0, read and write. That gives back
        what the key was made with, and the management key was made without trading."""
        fields = Fields(values, Kind.LINEAR)
        permissions = key.permissions - {"trade"}
        if not fields.integer("readOnly", 0, 0, 1) and key.account >= 0:
            permissions |= TRADING
        addresses = values.get("ips")
        ips = key.ips
        if addresses is not None:
            ips = _addresses(fields, addresses)
        key = replace(key, permissions=permissions, ips=ips)
        self._venue.do(Kind.LINEAR, UpdateKey(key))
        return self._key_fields(key)

    def _key_fields(self, key: Key) -> dict[str, Any]:
        may_trade, may_manage = "trade" in key.permissions, "manage" in key.permissions
        wallet = ["AccountTransfer", "SubMemberTransfer"] if may_manage else []
        if "withdraw" in key.permissions:
            wallet.append("Withdraw")
        return {
            "id": str(int(key.api_key[:6], 16)),
            "note": "local exchange",
            "apiKey": key.api_key,
            "readOnly": 0 if may_trade or may_manage else 1,
            "secret": "",
            "permissions": {
                "ContractTrade": ["Order", "Position"] if may_trade else [],
                "Spot": ["SpotTrade"] if may_trade else [],
                "Wallet": wallet,
                "Options": [],
                "Derivatives": ["DerivativesTrade"] if may_trade else [],
                "CopyTrading": [],
                "BlockTrade": [],
                "Exchange": [],
                "NFT": [],
                "Affiliate": [],
                "Earn": [],
            },
            "ips": list(key.ips) or ["*"],
        }


def _linear(values: Values) -> Fields:
    fields = Fields(values)
    if fields.kind is not Kind.LINEAR:
        raise VenueError(10001, "Illegal category")
    return fields


def _addresses(fields: Fields, value: Any) -> tuple[str, ...]:
    """`["*"]`: from anywhere; one text may hold several with commas."""
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise fields.invalid("ips")
    ips = [ip.strip() for text in texts for ip in text.split(",") if ip.strip() != "*"]
    if len(ips) > ADDRESSES_MAX or any(not 0 < len(ip) <= ADDRESS_LENGTH_MAX for ip in ips):
        raise fields.invalid("ips")
    return tuple(ips)
