"""The few /sapi calls that trading clients make, of both venues: key information, key deletion,
and the lists that ccxt asks for when it loads markets.

"Sub-account" and "Wallet" documents. Deleting a key is the management key's; what is left open
in the documents (the codes of its refusals) is marked.
"""

from collections.abc import Callable

from engine.exchange.binance.auth import Security
from engine.exchange.binance.calls import Call, Route
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.params import mandatory
from engine.exchange.commands import Command, DeleteKey
from engine.exchange.events import Accepted
from engine.exchange.keys import Keyring

SUB_ACCOUNT_API = "/sapi/v1/sub-account/subAccountApi"
Step = Callable[[Command, Call], Accepted]


class Sapi:
    """`step` runs a command of the core for a call."""

    def __init__(self, keyring: Keyring, step: Step, is_futures: bool) -> None:
        self._keyring = keyring
        self._step = step
        self._is_futures = is_futures

    def routes(self) -> dict[tuple[str, str], Route]:
        read, manage = Security.READ, Security.MANAGE
        empty = Route(lambda call: "[]", read)
        return {
            ("GET", "/sapi/v1/capital/config/getall"): empty._replace(weight=10),
            ("GET", "/sapi/v1/margin/allPairs"): Route(lambda call: "[]", Security.KEY),
            ("GET", "/sapi/v1/margin/isolated/allPairs"): Route(lambda call: "[]", Security.KEY),
            ("GET", "/sapi/v1/account/apiRestrictions"): Route(self._restrictions, Security.SELF),
            ("GET", SUB_ACCOUNT_API + "/ipRestriction"): Route(self._ip_restriction, manage),
            # The venue counts it against the user, weight 3000, not against the address.
            ("DELETE", SUB_ACCOUNT_API): Route(self._delete_key, manage, weight=1),
        }

    def _delete_key(self, call: Call) -> str:
        mandatory(call.params, "email")
        self._step(DeleteKey(mandatory(call.params, "subAccountApiKey")), call)
        return "{}"

    def _restrictions(self, call: Call) -> str:
        """What the key that asks may do."""
        key = call.key
        assert key is not None
        may_trade = "trade" in key.permissions
        flags = {
            "enableReading": "read" in key.permissions,
            "enableWithdrawals": "withdraw" in key.permissions,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": may_trade and self._is_futures,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": may_trade and not self._is_futures,
            "enablePortfolioMarginTrading": False,
        }
        texts = [f'"{name}":{"true" if is_on else "false"}' for name, is_on in flags.items()]
        has_ips = "true" if key.ips else "false"
        return f'{{"ipRestrict":{has_ips},"createTime":0,{",".join(texts)}}}'

    def _ip_restriction(self, call: Call) -> str:
        mandatory(call.params, "email")
        api_key = mandatory(call.params, "subAccountApiKey")
        found = self._keyring.find(api_key)
        if found is None:
            raise VenueError(-1130, "subAccountApiKey")  # unverified
        ips = ",".join(f'"{ip}"' for ip in found.ips)
        has_ips = "true" if found.ips else "false"
        return f'{{"ipRestrict":"{has_ips}","ipList":[{ips}],"updateTime":0,"apiKey":"{api_key}"}}'
