"""Paper trading against live venues of our own: exchanges on loopback that write down who asks."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support_live import Desk, Exchange, written
from support_session import PATIENCE_S, Heard

from engine import clock
from engine.config import EngineConfig
from engine.config_file import load_config
from engine.exchange.face import Action, ConnKind, Event, Face, HttpRequest, WsOpen, WsSend, WsText
from engine.exchange.faults import Faulty
from engine.exchange.greeting import ready_document
from engine.exchange.server import ExchangeServer
from engine.paper.parent import document_of, on_paper
from engine.paper.process import PaperExchange
from engine.session import Session


class Noted(Faulty):
    """A live venue that keeps what it is asked, and what it says on market-data connections."""

    def __init__(self, face: Face) -> None:
        super().__init__(face)
        self.asked: list[Event] = []
        self.said: list[str] = []
        self.refuses = False  # connections
        self._market: set[int] = set()

    def step(self, event: Event, t_ns: int) -> list[Action]:
        if isinstance(event, HttpRequest | WsOpen | WsText):
            self.asked.append(event)
        if isinstance(event, WsOpen) and self.kind_of(event.target) is ConnKind.MARKET:
            self._market.add(event.conn)
        actions = super().step(event, t_ns)
        for action in actions:
            if isinstance(action, WsSend) and self._market & set(action.conns):
                self.said.append(action.text)
        return actions

    def check_nothing_signed(self) -> None:
        """Nobody who asked showed a key, signed, changed anything, or wanted what is private."""
        assert self.asked
        for event in self.asked:
            if isinstance(event, HttpRequest):
                assert event.method == "GET", event.path
                assert not event.body
                assert "signature" not in event.query.lower()
                names = {name for name in event.headers if "key" in name or "sign" in name}
                assert not names - {"sec-websocket-key"}, names
            elif isinstance(event, WsOpen):
                assert self.kind_of(event.target) is ConnKind.MARKET, event.target
            elif isinstance(event, WsText):
                told = json.loads(event.text)
                assert (told.get("method") or told.get("op")) in ("SUBSCRIBE", "subscribe", "ping")
        assert not self.core.truth.since(0) or not [
            record for _, record in self.core.truth.since(0)
            if type(record).__name__ in ("OrderRecord", "FillRecord")
        ]  # fmt: skip


class LiveVenue(Exchange):
    """See Noted."""

    def __init__(self, venue: str, keys: Sequence[str], *, quiet: bool = False) -> None:
        super().__init__(venue, keys, seed=5, quiet=quiet)
        self.noted = Noted(self.server.face.face)  # type: ignore[attr-defined]
        self.server = ExchangeServer(self.noted)

    def cut(self) -> None:
        """Every connection ends without a word."""
        for end in self.server.ends:
            end.drop()


class PaperDesk(Desk):
    """An engine at a paper exchange."""

    def __init__(self, config: EngineConfig, credentials: dict[str, tuple[str, str]]) -> None:
        config.run_dir.mkdir(parents=True, exist_ok=True)
        self.heard = Heard()
        self.session = Session(config, credentials, self.heard)
        self.task = asyncio.create_task(self.session.run())


class Paper:
    """One account's paper exchange, in this process."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.told: list[dict[str, Any]] = []
        document = document_of(config, config.accounts[0], seed=11)
        self.exchange = PaperExchange(document, self._emit)

    def _emit(self, event: str, **fields: Any) -> None:
        self.told.append({"event": event, **fields})

    @property
    def server(self) -> ExchangeServer:
        return self.exchange.server

    @property
    def core(self) -> Any:
        return self.exchange.gate.core

    def desk(self, run_dir: Path) -> PaperDesk:
        name = self.config.accounts[0].name
        ready = ready_document(self.server, None)
        key = ready["accounts"][0]
        config = on_paper(self.config, {name: ready}, {name: 11}, run_dir)
        return PaperDesk(config, {name: (key["api_key"], key["secret"])})

    async def until(self, is_done: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(patience_s):
            while not is_done():  # noqa: ASYNC110
                await asyncio.sleep(0.002)


@asynccontextmanager
async def papered(
    tmp_path: Path, example: str, live: LiveVenue, **changes: str
) -> AsyncIterator[Paper]:
    """`example` of deploy/examples, its addresses those of `live`; no credential is read."""
    await live.start(tmp_path)
    path = written(tmp_path, example, **changes)
    loaded = load_config(
        path, run_tag="0a1b2c3d", mask_seed=7, with_credentials=False, is_paper=True
    )
    assert not loaded.credentials
    paper = Paper(loaded.config.model_copy(update={"run_dir": tmp_path}))
    try:
        await paper.exchange.start()
        yield paper
        assert paper.server.counters.bugs == 0
    finally:
        await paper.exchange.stop()
        await live.server.stop()


def now_ns() -> int:
    return clock.wall_ns()
