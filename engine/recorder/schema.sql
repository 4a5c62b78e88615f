-- The ledger: what the engine did, from its journals, one of each core, and from events.jsonl.
-- Prices in ticks, quantities in lots of the core's instrument, fees in 1e-8 of their asset; ts_ns
-- is the engine's monotonic clock. The v_ views say the same in decimals and UTC. `core` is the
-- core's number in the run; seq is the record's number among all records of the run's journals:
-- the key that makes projecting twice harmless.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE journals (        -- how far each core's journal is projected, and what it held
    key TEXT PRIMARY KEY,       -- its folder: account.venue.symbol
    core INTEGER,               -- NULL: its configuration is not projected yet
    segment INTEGER NOT NULL,   -- where projecting goes on
    offset INTEGER NOT NULL,
    next_seq INTEGER NOT NULL,  -- no record below it follows
    records INTEGER NOT NULL,
    first_ts_ns INTEGER NOT NULL,
    last_ts_ns INTEGER NOT NULL,
    cause_seq INTEGER NOT NULL, -- the last input but sends: what the outputs after it come from
    cause_kind INTEGER NOT NULL,
    cause_arg INTEGER NOT NULL,
    position_lots INTEGER NOT NULL, -- opening and fills, added up
    frames_market INTEGER NOT NULL,
    frames_trade INTEGER NOT NULL,
    frames_user INTEGER NOT NULL,
    snapshots INTEGER NOT NULL,
    samples INTEGER NOT NULL    -- in the journal
) WITHOUT ROWID;

CREATE TABLE instruments (     -- price = ticks * tick_units / 10^tick_decimals
    core INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    base TEXT NOT NULL,         -- '': not told
    quote TEXT NOT NULL,
    tick TEXT NOT NULL,
    lot TEXT NOT NULL,
    tick_units INTEGER NOT NULL,
    tick_decimals INTEGER NOT NULL,
    tick_pow INTEGER NOT NULL,  -- 10^tick_decimals
    lot_units INTEGER NOT NULL,
    lot_decimals INTEGER NOT NULL,
    lot_pow INTEGER NOT NULL,
    client_prefix TEXT NOT NULL,    -- of our client order ids; 12 hex digits of the intent follow
    strategy TEXT NOT NULL,
    wall_minus_monotonic_ns INTEGER NOT NULL,   -- UTC = ts_ns + this
    config TEXT NOT NULL,       -- JSON, as the core was told; no secret in it
    config_sha256 TEXT NOT NULL,
    limits_sha256 TEXT NOT NULL
);

CREATE TABLE orders (          -- each order's last state
    intent_id INTEGER PRIMARY KEY,  -- unique over the run's cores: core << 36 in it
    core INTEGER NOT NULL,
    venue_order_id INTEGER NOT NULL,
    side INTEGER NOT NULL,      -- 0 buy, 1 sell
    px_ticks INTEGER NOT NULL,
    qty_lots INTEGER NOT NULL,
    cum_qty_lots INTEGER NOT NULL,
    state INTEGER NOT NULL,     -- fastcore.types.OrderState
    reason INTEGER NOT NULL,    -- deny code above 0, venue code below
    first_ts_ns INTEGER NOT NULL,
    last_ts_ns INTEGER NOT NULL
);

CREATE TABLE order_events (    -- each change of each order
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    intent_id INTEGER NOT NULL,
    venue_order_id INTEGER NOT NULL,
    side INTEGER NOT NULL,
    state INTEGER NOT NULL,
    px_ticks INTEGER NOT NULL,
    qty_lots INTEGER NOT NULL,
    cum_qty_lots INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    cause_seq INTEGER NOT NULL, -- the input that told it
    cause_kind INTEGER NOT NULL     -- fastcore.journal.NAMES
);
CREATE INDEX order_events_intent ON order_events (intent_id);

CREATE TABLE fills (           -- every execution on the account that was booked
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    intent_id INTEGER NOT NULL, -- -1: not of this run
    trade_id INTEGER NOT NULL,
    venue_order_id INTEGER NOT NULL,
    side INTEGER NOT NULL,
    px_ticks INTEGER NOT NULL,
    qty_lots INTEGER NOT NULL,
    fee_e8 INTEGER NOT NULL,    -- in 1e-8 of fee_asset; cost is positive
    is_maker INTEGER NOT NULL,
    bid_px_ticks INTEGER NOT NULL,  -- the touch when the core saw the fill
    ask_px_ticks INTEGER NOT NULL,
    position_after_lots INTEGER NOT NULL,
    exch_ts_ns INTEGER NOT NULL,    -- venue's UTC
    fee_asset INTEGER NOT NULL,     -- fastcore.types.FeeAsset
    owner INTEGER NOT NULL,     -- fastcore.types.FillOwner: 0 this run, 1 an earlier one, 2 stranger
    via INTEGER NOT NULL        -- fastcore.types.FillVia: 0 stream, 1 REST
);
CREATE INDEX fills_intent ON fills (intent_id);
CREATE INDEX fills_trade ON fills (core, trade_id);

CREATE TABLE sends (           -- each message to the venue, and what became of it
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    out_seq INTEGER NOT NULL,   -- counts the core's messages
    intent_id INTEGER NOT NULL,
    verb INTEGER NOT NULL,      -- fastcore.types.Verb
    conn INTEGER NOT NULL,      -- fastcore.types.Conn it goes out on
    cause_seq INTEGER NOT NULL, -- the input that caused it
    cause_kind INTEGER NOT NULL,    -- fastcore.journal.NAMES
    cause_arg INTEGER NOT NULL,     -- of a FRAME: fastcore.types.Conn it came in on
    cause_ts_ns INTEGER NOT NULL,   -- receive stamp of those bytes
    deadline_ns INTEGER NOT NULL,   -- 0: none
    signature_hash TEXT NOT NULL,        -- hash64 of the signature's digits, hexadecimal
    message TEXT NOT NULL,          -- key and signature blanked
    outcome INTEGER,            -- fastcore.types.SendOutcome; NULL: no outcome in the journal
    begin_ns INTEGER,
    end_ns INTEGER,
    tick_to_order_ns INTEGER    -- end_ns - cause_ts_ns of what was sent
);
CREATE UNIQUE INDEX sends_out ON sends (core, out_seq);
CREATE INDEX sends_intent ON sends (intent_id);

CREATE TABLE queries (         -- what a REST query said of one of our orders
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    intent_id INTEGER NOT NULL,
    is_absent INTEGER NOT NULL, -- the venue knows no such order
    order_status INTEGER NOT NULL,  -- fastcore.types.OrderState
    venue_order_id INTEGER NOT NULL,
    px_ticks INTEGER NOT NULL,
    qty_lots INTEGER NOT NULL,
    cum_qty_lots INTEGER NOT NULL,
    asked_ns INTEGER NOT NULL   -- when the question left; 0: not told
);
CREATE INDEX queries_intent ON queries (intent_id);

CREATE TABLE openings (        -- what the account held before the run's first event
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    position_lots INTEGER NOT NULL
);

CREATE TABLE positions (       -- each change of the position, and its cause
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    position_lots INTEGER NOT NULL, -- after it
    change_lots INTEGER NOT NULL,
    cause TEXT NOT NULL,        -- opening, fill, late fill (after a REST query), stranger
    trade_id INTEGER            -- of a fill
);

CREATE TABLE params (          -- the strategy's parameters from that moment on
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    params TEXT NOT NULL        -- JSON object, by name
);

CREATE TABLE conditions (      -- the edge's own reasons to stand aside
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    bit INTEGER NOT NULL,       -- fastcore.types.Halt
    name TEXT NOT NULL,
    is_on INTEGER NOT NULL
);

CREATE TABLE states (          -- changes of the halt word
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    old_bits INTEGER NOT NULL,  -- fastcore.types.Halt; 0: quoting allowed
    new_bits INTEGER NOT NULL,
    reasons TEXT NOT NULL
);

CREATE TABLE denies (          -- orders that the gate refused
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    intent_id INTEGER NOT NULL,
    code INTEGER NOT NULL,      -- fastcore.gate.CODES
    name TEXT NOT NULL,
    side INTEGER NOT NULL,
    px_ticks INTEGER NOT NULL,
    qty_lots INTEGER NOT NULL
);

-- Ten a second a core, for an hour; then one a second, after four days one in ten seconds
-- (projection.py). A price of 0: none. last_samples has each core's newest.
CREATE TABLE samples (
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    bid_px_ticks INTEGER NOT NULL,
    bid_qty_lots INTEGER NOT NULL,
    ask_px_ticks INTEGER NOT NULL,
    ask_qty_lots INTEGER NOT NULL,
    own_bid_px_ticks INTEGER NOT NULL,
    own_bid_qty_lots INTEGER NOT NULL,
    own_ask_px_ticks INTEGER NOT NULL,
    own_ask_qty_lots INTEGER NOT NULL,
    position_lots INTEGER NOT NULL,
    cash_ticks_lots INTEGER NOT NULL,
    fees_e8 INTEGER NOT NULL,   -- of those paid in the quote asset
    spread_half_ticks_lots INTEGER NOT NULL,
    orders_sent INTEGER NOT NULL,
    fills INTEGER NOT NULL
);
CREATE INDEX samples_core ON samples (core, seq);

CREATE TABLE last_samples (
    core INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    bid_px_ticks INTEGER NOT NULL,
    bid_qty_lots INTEGER NOT NULL,
    ask_px_ticks INTEGER NOT NULL,
    ask_qty_lots INTEGER NOT NULL,
    own_bid_px_ticks INTEGER NOT NULL,
    own_bid_qty_lots INTEGER NOT NULL,
    own_ask_px_ticks INTEGER NOT NULL,
    own_ask_qty_lots INTEGER NOT NULL,
    position_lots INTEGER NOT NULL,
    cash_ticks_lots INTEGER NOT NULL,
    fees_e8 INTEGER NOT NULL,   -- of those paid in the quote asset
    spread_half_ticks_lots INTEGER NOT NULL,
    orders_sent INTEGER NOT NULL,
    fills INTEGER NOT NULL
);

CREATE TABLE book_events (     -- changes of the book's sync state
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    old_state INTEGER NOT NULL, -- fastcore.types.SyncState
    new_state INTEGER NOT NULL,
    update_id INTEGER NOT NULL
);

CREATE TABLE session_events (  -- commands, connections, clock offsets, venue positions
    seq INTEGER PRIMARY KEY,
    core INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,         -- COMMAND, CONN, CLOCK, ACCOUNT
    arg INTEGER NOT NULL,
    value INTEGER               -- CONN: up; CLOCK: utc_minus_monotonic_ns; ACCOUNT: position_lots
);

CREATE TABLE engine_events (   -- lines of events.jsonl: what is no input of a core
    seq INTEGER PRIMARY KEY,    -- the line, from 0
    ts_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,         -- engine/recorder/events_log.py lists them
    account TEXT,               -- NULL: of the whole engine
    core INTEGER,               -- NULL: of the whole account
    text TEXT NOT NULL,
    detail TEXT NOT NULL        -- JSON object: what else the line held
);
CREATE INDEX engine_events_kind ON engine_events (kind);

CREATE TABLE balances (        -- of an account, as the venue told them
    seq INTEGER NOT NULL,       -- of the engine event
    ts_ns INTEGER NOT NULL,
    account TEXT NOT NULL,
    asset TEXT NOT NULL,
    total_e8 INTEGER NOT NULL,  -- in 1e-8 of the asset, locked included
    PRIMARY KEY (seq, asset)
) WITHOUT ROWID;
