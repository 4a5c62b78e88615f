-- The ledger: what the engine did, from its journal. Prices in ticks, quantities in lots, fees in
-- 1e-8 of their asset; ts_ns is the engine's monotonic clock. The v_ views say the same in decimals
-- and UTC. seq is the journal's record number: the key that makes projecting twice harmless.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE instrument (      -- one row; price = ticks * tick_units / 10^tick_decimals
    symbol TEXT NOT NULL,
    tick TEXT NOT NULL,
    lot TEXT NOT NULL,
    tick_units INTEGER NOT NULL,
    tick_decimals INTEGER NOT NULL,
    tick_pow INTEGER NOT NULL,  -- 10^tick_decimals
    lot_units INTEGER NOT NULL,
    lot_decimals INTEGER NOT NULL,
    lot_pow INTEGER NOT NULL
);

CREATE TABLE orders (          -- each order's last state
    intent_id INTEGER PRIMARY KEY,
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
    ts_ns INTEGER NOT NULL,
    intent_id INTEGER NOT NULL,
    venue_order_id INTEGER NOT NULL,
    side INTEGER NOT NULL,
    state INTEGER NOT NULL,
    px_ticks INTEGER NOT NULL,
    qty_lots INTEGER NOT NULL,
    cum_qty_lots INTEGER NOT NULL,
    reason INTEGER NOT NULL
);
CREATE INDEX order_events_intent ON order_events (intent_id);

CREATE TABLE fills (
    seq INTEGER PRIMARY KEY,
    ts_ns INTEGER NOT NULL,
    intent_id INTEGER NOT NULL,
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
    fee_asset INTEGER NOT NULL      -- fastcore.types.FeeAsset
);
CREATE INDEX fills_intent ON fills (intent_id);

CREATE TABLE sends (           -- each message to the venue, and what became of it
    out_seq INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL,
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
CREATE INDEX sends_intent ON sends (intent_id);

CREATE TABLE states (          -- changes of the halt word
    seq INTEGER PRIMARY KEY,
    ts_ns INTEGER NOT NULL,
    old_bits INTEGER NOT NULL,  -- fastcore.types.Halt; 0: quoting allowed
    new_bits INTEGER NOT NULL,
    reasons TEXT NOT NULL
);

CREATE TABLE denies (          -- orders that the gate refused
    seq INTEGER PRIMARY KEY,
    ts_ns INTEGER NOT NULL,
    intent_id INTEGER NOT NULL,
    code INTEGER NOT NULL,      -- fastcore.gate.CODES
    name TEXT NOT NULL,
    side INTEGER NOT NULL,
    px_ticks INTEGER NOT NULL,
    qty_lots INTEGER NOT NULL
);

CREATE TABLE samples (         -- ten a second; a price of 0: none
    seq INTEGER PRIMARY KEY,
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
    ts_ns INTEGER NOT NULL,
    old_state INTEGER NOT NULL, -- fastcore.types.SyncState
    new_state INTEGER NOT NULL,
    update_id INTEGER NOT NULL
);

CREATE TABLE session_events (  -- commands, connections, clock offsets, venue positions
    seq INTEGER PRIMARY KEY,
    ts_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,         -- COMMAND, CONN, CLOCK, ACCOUNT
    arg INTEGER NOT NULL,
    value INTEGER               -- CONN: up; CLOCK: utc_minus_monotonic_ns; ACCOUNT: position_lots
);
