"""Accounts, positions and settings of USD-M ("Account" and "Trade" documents)."""

from collections.abc import Callable

from engine.exchange.accounts import FEE_SCALE, LEVERAGE_MAX
from engine.exchange.binance.auth import Security
from engine.exchange.binance.calls import Call, Route
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.limits import RateLimits
from engine.exchange.binance.params import integer, limit_of, mandatory
from engine.exchange.binance.usdm_desk import UsdmDesk
from engine.exchange.binance.usdm_errors import UsdmError
from engine.exchange.book import Side
from engine.exchange.commands import SetLeverage, SetPositionMode
from engine.exchange.events import Refused
from engine.exchange.instruments import Instrument, e8_text
from engine.exchange.terms import Reason

TRADES_MAX = 1_000
WEEK_MS = 7 * 86_400_000  # the longest time that a request for trades may span
BAD_COMBINATION = "Combination of optional parameters invalid."
NOTIONAL_CAP = 1_000_000_000  # of the one bracket
MAINT_RATIO_PPM = 4_000
SETTLES = "USDT"
OPENED_MS = 1_569_398_400_000  # ccxt takes a balance that was never updated for no balance


class UsdmAccount:
    """`limits` of the face, for rateLimit/order; `on_leverage(account, symbol, leverage, t_ns)`
    hears of a change."""

    def __init__(
        self,
        desk: UsdmDesk,
        limits: RateLimits,
        on_leverage: Callable[[int, str, int, int], None],
    ) -> None:
        self._desk = desk
        self._core = desk.core
        self._ms = desk.stamp.ms
        self._limits = limits
        self._on_leverage = on_leverage

    def routes(self) -> dict[tuple[str, str], Route]:
        read, trade = Security.READ, Security.TRADE
        v1, v2, v3 = "/fapi/v1/", "/fapi/v2/", "/fapi/v3/"
        return {
            ("GET", v2 + "account"): Route(self.account_v2, read, 5),
            ("GET", v3 + "account"): Route(self.account, read, 5),
            ("GET", v2 + "balance"): Route(self.balance, read, 5),
            ("GET", v3 + "balance"): Route(self.balance, read, 5),
            ("GET", v2 + "positionRisk"): Route(self.position_risk_v2, read, 5),
            ("GET", v3 + "positionRisk"): Route(self.position_risk, read, 5),
            ("GET", v1 + "userTrades"): Route(self.user_trades, read, 5),
            ("GET", v1 + "income"): Route(self.income, read, 30),
            ("GET", v1 + "commissionRate"): Route(self.commission_rate, read, 20),
            ("GET", v1 + "leverageBracket"): Route(self.leverage_bracket, read),
            ("GET", v1 + "rateLimit/order"): Route(self.order_limits, read),
            ("GET", v1 + "positionSide/dual"): Route(self.position_side, read, 30),
            ("POST", v1 + "positionSide/dual"): Route(self.set_position_side, trade),
            ("GET", v1 + "multiAssetsMargin"): Route(self.multi_assets, read, 30),
            ("GET", v1 + "feeBurn"): Route(self.fee_burn, read, 30),
            ("POST", v1 + "feeBurn"): Route(self.set_fee_burn, trade),
            ("POST", v1 + "leverage"): Route(self.set_leverage, trade),
            ("POST", v1 + "marginType"): Route(self.set_margin_type, trade),
            ("GET", v1 + "accountConfig"): Route(self.account_config, read, 5),
            ("GET", v1 + "symbolConfig"): Route(self.symbol_config, read, 5),
            ("GET", v1 + "apiTradingStatus"): Route(self.trading_status, read),
        }

    def methods(self) -> dict[str, Route]:
        read = Security.READ
        return {
            "account.status": Route(self.account_v2, read, 5),
            "v2/account.status": Route(self.account, read, 5),
            "account.balance": Route(self.balance, read, 5),
            "v2/account.balance": Route(self.balance, read, 5),
            "account.position": Route(self.position_risk_v2, read, 5),
            "v2/account.position": Route(self.position_risk, read, 5),
        }

    # -- MONEY ---

    def account(self, call: Call) -> str:
        rows = [self._position_row(call.account, i) for i in self._desk.touched(call.account)]
        return self._account(call.account, "", rows)

    def account_v2(self, call: Call) -> str:
        """Every symbol, with leverage and entry price; flags of the account in front."""
        rows = []
        for instrument in self._desk.instruments({}):
            position = self._core.accounts[call.account].positions.get(instrument.key)
            entry = "0.0"
            if position is not None:
                entry = instrument.px.mean_text(position.cost, position.lots)
            leverage = self._core.accounts[call.account].leverage(instrument.key)
            extra = (
                f'"leverage":"{leverage}","isolated":false,"entryPrice":"{entry}",'
                f'"breakEvenPrice":"{entry}","maxNotional":"{NOTIONAL_CAP}",'
                '"bidNotional":"0","askNotional":"0","positionInitialMargin":'
                f'"{e8_text(self._core.margin_e8(call.account, instrument.key))}",'
                '"openOrderInitialMargin":'
                f'"{e8_text(self._order_margin_e8(call.account, instrument))}",'
            )
            rows.append(self._position_row(call.account, instrument, extra))
        head = (
            '"feeTier":0,"canTrade":true,"canDeposit":true,"canWithdraw":false,"updateTime":0,'
            '"multiAssetsMargin":false,"tradeGroupId":-1,'
        )
        return self._account(call.account, head, rows)

    def _account(self, account: int, head: str, rows: list[str]) -> str:
        core = self._core
        wallet_e8 = core.accounts[account].balance_e8(SETTLES)
        equity_e8 = core.equity_e8(account, SETTLES)
        positions = core.accounts[account].positions
        held_e8, ordered_e8 = self._margins_e8(account)
        wallet, equity = e8_text(wallet_e8), e8_text(equity_e8)
        unrealized, margin = e8_text(equity_e8 - wallet_e8), e8_text(held_e8 + ordered_e8)
        held, ordered = e8_text(held_e8), e8_text(ordered_e8)
        free = e8_text(max(0, equity_e8 - held_e8 - ordered_e8))
        stamps = [self._ms(p.update_ns) for p in positions.values() if p.update_ns]
        stamp = max([OPENED_MS, *stamps])
        return (
            f'{{{head}"totalInitialMargin":"{margin}","totalMaintMargin":"0",'
            f'"totalWalletBalance":"{wallet}","totalUnrealizedProfit":"{unrealized}",'
            f'"totalMarginBalance":"{equity}","totalPositionInitialMargin":"{held}",'
            f'"totalOpenOrderInitialMargin":"{ordered}","totalCrossWalletBalance":"{wallet}",'
            f'"totalCrossUnPnl":"{unrealized}","availableBalance":"{free}",'
            f'"maxWithdrawAmount":"{free}","assets":[{{"asset":"{SETTLES}",'
            f'"walletBalance":"{wallet}","unrealizedProfit":"{unrealized}",'
            f'"marginBalance":"{equity}","maintMargin":"0","initialMargin":"{margin}",'
            f'"positionInitialMargin":"{held}","openOrderInitialMargin":"{ordered}",'
            f'"crossWalletBalance":"{wallet}","crossUnPnl":"{unrealized}",'
            f'"availableBalance":"{free}","maxWithdrawAmount":"{free}","updateTime":{stamp}}}],'
            f'"positions":[{",".join(rows)}]}}'
        )

    def _margins_e8(self, account: int) -> tuple[int, int]:
        """Initial margin of positions, and what open orders want on top."""
        held_e8 = ordered_e8 = 0
        for market in self._core.markets.values():
            held_e8 += self._core.margin_e8(account, market.instrument.key)
            ordered_e8 += self._order_margin_e8(account, market.instrument)
        return held_e8, ordered_e8

    def _order_margin_e8(self, account: int, instrument: Instrument) -> int:
        """If the worse side filled: the margin of what would be held, less that of what is."""
        orders = self._core.open_orders(account, instrument.key)
        if not orders:
            return 0
        owner = self._core.accounts[account]
        mark_px_ticks = self._core.mark_px_ticks(instrument.key)
        position = owner.positions.get(instrument.key)
        lots = position.lots if position else 0
        costs = [max(0, side.sign * lots) * mark_px_ticks for side in Side]
        for order in orders:
            if not order.reduce_only:
                costs[order.side] += order.leaves_lots * order.px_ticks
        wanted_e8 = max(costs) * instrument.notional_e8 // owner.leverage(instrument.key)
        return max(0, wanted_e8 - self._core.margin_e8(account, instrument.key))

    def balance(self, call: Call) -> str:
        core, account = self._core, self._core.accounts[call.account]
        rows = []
        for asset, total_e8 in account.balances.items():
            equity_e8 = core.equity_e8(call.account, asset)
            free = e8_text(max(0, equity_e8 - sum(self._margins_e8(call.account))))
            total = e8_text(total_e8)
            rows.append(
                f'{{"accountAlias":"{_alias(account.name)}","asset":"{asset}",'
                f'"balance":"{total}","crossWalletBalance":"{total}",'
                f'"crossUnPnl":"{e8_text(equity_e8 - total_e8)}","availableBalance":"{free}",'
                f'"maxWithdrawAmount":"{free}","marginAvailable":true,'
                f'"updateTime":{self._ms(call.t_ns)}}}'
            )
        return f"[{','.join(rows)}]"

    # -- POSITIONS ---

    def _position_row(self, account: int, instrument: Instrument, extra: str = "") -> str:
        position = self._core.accounts[account].positions.get(instrument.key)
        lots = position.lots if position else 0
        stamp = self._ms(position.update_ns) if position and position.update_ns else 0
        held_e8 = self._core.margin_e8(account, instrument.key)
        ordered_e8 = self._order_margin_e8(account, instrument)
        return (
            f'{{"symbol":"{instrument.symbol}","positionSide":"BOTH",'
            f'"positionAmt":"{instrument.qty.text(lots)}",{extra}'
            f'"unrealizedProfit":"{e8_text(self._core.unrealized_e8(account, instrument.key))}",'
            f'"isolatedMargin":"0","notional":"{self._notional(lots, instrument)}",'
            f'"isolatedWallet":"0",'
            f'"initialMargin":"{e8_text(held_e8 + ordered_e8)}",'
            f'"maintMargin":"0","updateTime":{stamp}}}'
        )

    def _notional(self, lots: int, instrument: Instrument) -> str:
        mark_px_ticks = self._core.mark_px_ticks(instrument.key)
        return e8_text(lots * mark_px_ticks * instrument.notional_e8)

    def position_risk(self, call: Call) -> str:
        touched = self._desk.touched(call.account)
        wanted = [i for i in self._desk.instruments(call.params) if i in touched]
        return f"[{','.join([self._risk_row(call.account, i) for i in wanted])}]"

    def position_risk_v2(self, call: Call) -> str:
        """Every symbol, held or not."""
        rows = []
        for instrument in self._desk.instruments(call.params):
            leverage = self._core.accounts[call.account].leverage(instrument.key)
            extra = (
                f'"leverage":"{leverage}","maxNotionalValue":"{NOTIONAL_CAP}",'
                '"marginType":"cross","isAutoAddMargin":"false",'
            )
            rows.append(self._risk_row(call.account, instrument, extra))
        return f"[{','.join(rows)}]"

    def _risk_row(self, account: int, instrument: Instrument, extra: str = "") -> str:
        position = self._core.accounts[account].positions.get(instrument.key)
        lots, entry, stamp = 0, "0.0", 0
        if position is not None:
            lots, entry = position.lots, instrument.px.mean_text(position.cost, position.lots)
            stamp = self._ms(position.update_ns) if position.update_ns else 0
        held_e8 = self._core.margin_e8(account, instrument.key)
        ordered_e8 = self._order_margin_e8(account, instrument)
        mark = instrument.px.mean_text(self._core.mark_px_ticks(instrument.key), 1)
        return (
            f'{{"symbol":"{instrument.symbol}","positionSide":"BOTH",'
            f'"positionAmt":"{instrument.qty.text(lots)}","entryPrice":"{entry}",'
            f'"breakEvenPrice":"{entry}","markPrice":"{mark}",'
            f'"unRealizedProfit":"{e8_text(self._core.unrealized_e8(account, instrument.key))}",'
            f'"liquidationPrice":"0",{extra}"isolatedMargin":"0",'
            f'"notional":"{self._notional(lots, instrument)}",'
            f'"marginAsset":"{instrument.quote}","isolatedWallet":"0",'
            f'"initialMargin":"{e8_text(held_e8 + ordered_e8)}","maintMargin":"0",'
            f'"positionInitialMargin":"{e8_text(held_e8)}",'
            f'"openOrderInitialMargin":"{e8_text(ordered_e8)}",'
            f'"adl":0,"bidNotional":"0","askNotional":"0","updateTime":{stamp}}}'
        )

    # -- HISTORY ---

    def user_trades(self, call: Call) -> str:
        """The last ones; of one order, or from one trade on, when asked so."""
        instrument = self._desk.instrument(call.params)
        count = limit_of(call.params, 500, TRADES_MAX)
        order_id = integer(call.params, "orderId", 0)
        from_id = integer(call.params, "fromId", 0)
        start_ms, end_ms = self._trades_range(call, from_id)
        is_asked_from = from_id or call.params.get("startTime")
        fills = [
            fill
            for fill in self._core.fills_of(call.account, instrument.key)
            if order_id in (0, fill.order_id)
            and fill.trade_id >= from_id
            and start_ms <= self._ms(fill.t_ns) <= end_ms
        ]
        fills = fills[:count] if is_asked_from else fills[-count:]
        texts = [self._desk.frames.user_trade(instrument, fill) for fill in fills]
        return f"[{','.join(texts)}]"

    def _trades_range(self, call: Call, from_id: int) -> tuple[int, int]:
        """A week at most, or by id; neither: the last week."""
        start_ms, end_ms = self._range(call)
        has_end = end_ms < 1 << 62
        if from_id and (start_ms or has_end):
            raise VenueError(-1128, text=BAD_COMBINATION)  # unverified: the code
        if start_ms and has_end and end_ms - start_ms > WEEK_MS:
            raise VenueError(-1127)  # unverified: the code
        if not (start_ms or has_end or from_id):
            start_ms = self._ms(call.t_ns) - WEEK_MS
        return start_ms, end_ms

    def _range(self, call: Call) -> tuple[int, int]:
        end_ms = integer(call.params, "endTime", 0) or 1 << 62
        return integer(call.params, "startTime", 0), end_ms

    def income(self, call: Call) -> str:
        """Profit, commission and funding, oldest first."""
        wanted = call.params.get("incomeType", "")
        start_ms, end_ms = self._range(call)
        rows: list[tuple[int, str]] = []
        for instrument in self._desk.instruments(call.params):
            for stamp, kind, amount_e8, trade_id in self._incomes(call.account, instrument):
                if wanted not in ("", kind) or not start_ms <= stamp <= end_ms:
                    continue
                info = kind if kind == "FUNDING_FEE" else trade_id
                text = (
                    f'{{"symbol":"{instrument.symbol}","incomeType":"{kind}",'
                    f'"income":"{e8_text(amount_e8)}","asset":"{instrument.quote}",'
                    f'"time":{stamp},"info":"{info}","tranId":{trade_id or stamp},'
                    f'"tradeId":"{trade_id or ""}"}}'
                )
                rows.append((stamp, text))
        rows.sort(key=lambda row: row[0])
        count = limit_of(call.params, 100, 1_000)
        rows = rows[:count] if start_ms else rows[-count:]
        return f"[{','.join(text for _, text in rows)}]"

    def _incomes(self, account: int, instrument: Instrument) -> list[tuple[int, str, int, int]]:
        """(time, kind, amount, trade id)."""
        rows: list[tuple[int, str, int, int]] = []
        for fill in self._core.fills_of(account, instrument.key):
            stamp = self._ms(fill.t_ns)
            if fill.realized_e8:
                rows.append((stamp, "REALIZED_PNL", fill.realized_e8, fill.trade_id))
            rows.append((stamp, "COMMISSION", -fill.fee_e8, fill.trade_id))
        for funding in self._core.funding_of(account, instrument.key):
            rows.append((self._ms(funding.t_ns), "FUNDING_FEE", -funding.payment_e8, 0))
        return rows

    # -- SETTINGS ---

    def commission_rate(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        fees = self._core.fees_of(instrument.key)
        maker, taker = _rate_text(fees.maker_ppm), _rate_text(fees.taker_ppm)
        return (
            f'{{"symbol":"{instrument.symbol}","makerCommissionRate":"{maker}",'
            f'"takerCommissionRate":"{taker}","rpiCommissionRate":"{maker}"}}'
        )

    def leverage_bracket(self, call: Call) -> str:
        """One bracket: this exchange doesn't lower leverage with size."""
        rows = [
            f'{{"symbol":"{instrument.symbol}","brackets":[{{"bracket":1,'
            f'"initialLeverage":{LEVERAGE_MAX},"notionalCap":{NOTIONAL_CAP},"notionalFloor":0,'
            f'"maintMarginRatio":{_rate_text(MAINT_RATIO_PPM)},"cum":0.0}}]}}'
            for instrument in self._desk.instruments(call.params)
        ]
        return f"[{','.join(rows)}]"

    def order_limits(self, call: Call) -> str:
        return self._limits.orders_json(call.account, call.t_ns, with_count=False)

    def position_side(self, call: Call) -> str:
        return '{"dualSidePosition":false}'

    def set_position_side(self, call: Call) -> str:
        text = mandatory(call.params, "dualSidePosition").lower()
        if text not in ("true", "false"):
            raise VenueError(-1130, "dualSidePosition")
        command = SetPositionMode(call.account, is_hedge=text == "true")
        answer = self._core.step(command, call.t_ns)[0]
        if isinstance(answer, Refused) and answer.reason is Reason.NO_CHANGE:
            raise UsdmError(-4059)
        if isinstance(answer, Refused):
            raise self._desk.refusal(answer, command)
        return '{"code":200,"msg":"success"}'

    def multi_assets(self, call: Call) -> str:
        return '{"multiAssetsMargin":false}'

    def set_leverage(self, call: Call) -> str:
        """The same again is no error here."""
        instrument = self._desk.instrument(call.params)
        leverage = integer(call.params, "leverage")
        command = SetLeverage(call.account, instrument.key, leverage)
        answer = self._core.step(command, call.t_ns)[0]
        if isinstance(answer, Refused):
            if answer.reason is not Reason.NO_CHANGE:
                raise self._desk.refusal(answer, command)
        else:
            self._on_leverage(call.account, instrument.symbol, leverage, call.t_ns)
        return (
            f'{{"leverage":{leverage},"maxNotionalValue":"{NOTIONAL_CAP}",'
            f'"symbol":"{instrument.symbol}"}}'
        )

    def set_margin_type(self, call: Call) -> str:
        """Cross margin only."""
        self._desk.instrument(call.params)
        kind = mandatory(call.params, "marginType")
        if kind == "CROSSED":
            raise UsdmError(-4046)
        if kind != "ISOLATED":
            raise VenueError(-1130, "marginType")
        raise VenueError(-1020)  # not built

    def fee_burn(self, call: Call) -> str:
        return '{"feeBurn":false}'

    def set_fee_burn(self, call: Call) -> str:
        """Fees are taken in what a trade is settled in, never in BNB."""
        kind = mandatory(call.params, "feeBurn").lower()
        if kind not in ("true", "false"):
            raise VenueError(-1130, "feeBurn")
        if kind == "true":
            raise VenueError(-1020)  # not built
        return '{"code":200,"msg":"success"}'

    def account_config(self, call: Call) -> str:
        return (
            '{"feeTier":0,"canTrade":true,"canDeposit":true,"canWithdraw":false,'
            '"dualSidePosition":false,"updateTime":0,"multiAssetsMargin":false,'
            '"tradeGroupId":-1}'
        )

    def symbol_config(self, call: Call) -> str:
        account = self._core.accounts[call.account]
        rows = [
            f'{{"symbol":"{instrument.symbol}","marginType":"CROSSED","isAutoAddMargin":false,'
            f'"leverage":{account.leverage(instrument.key)},'
            f'"maxNotionalValue":"{NOTIONAL_CAP}"}}'
            for instrument in self._desk.instruments(call.params)
        ]
        return f"[{','.join(rows)}]"

    def trading_status(self, call: Call) -> str:
        return f'{{"indicators":{{}},"updateTime":{self._ms(call.t_ns)}}}'


def _rate_text(rate_ppm: int) -> str:
    sign = "-" if rate_ppm < 0 else ""
    return f"{sign}{abs(rate_ppm) // FEE_SCALE}.{abs(rate_ppm) % FEE_SCALE:06d}"


def _alias(name: str) -> str:
    """Four letters, as the venue's."""
    return f"{name[:3]}{name[-1]}".title()
