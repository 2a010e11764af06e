"""The tables of the books.

``objects`` holds every Stripe object as the JSON that the API returns (``doc``), with the few
columns that are searched or changed conditionally: ``state`` (the status of what has one) and
``ends_at`` (sandbox time at which a session ends, a subscription renews or ends, an invoice is
tried again). ``extra`` is what we know and Stripe does not show.
Times are Unix seconds.
"""

SCHEMA_VERSION = 2

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS accounts (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, country TEXT NOT NULL,
        default_currency TEXT NOT NULL, created INTEGER NOT NULL,
        charges_enabled INTEGER NOT NULL DEFAULT 1, details_submitted INTEGER NOT NULL DEFAULT 1)""",
    """CREATE TABLE IF NOT EXISTS api_keys (
        key TEXT PRIMARY KEY, account TEXT NOT NULL, livemode INTEGER NOT NULL,
        without TEXT NOT NULL DEFAULT '[]', created INTEGER NOT NULL, revoked_at INTEGER)""",
    """CREATE TABLE IF NOT EXISTS objects (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
        account TEXT NOT NULL, livemode INTEGER NOT NULL, created INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT '', ends_at INTEGER, doc TEXT NOT NULL,
        extra TEXT NOT NULL DEFAULT '{}')""",
    "CREATE INDEX IF NOT EXISTS objects_listed ON objects (kind, account, livemode, seq)",
    "CREATE INDEX IF NOT EXISTS objects_ending ON objects (kind, state, ends_at)",
    """CREATE TABLE IF NOT EXISTS idempotency (
        account TEXT NOT NULL, livemode INTEGER NOT NULL, key TEXT NOT NULL,
        request TEXT NOT NULL, fingerprint TEXT NOT NULL, started_at REAL NOT NULL,
        claim TEXT NOT NULL, status INTEGER, body TEXT,
        PRIMARY KEY (account, livemode, key))""",
    """CREATE TABLE IF NOT EXISTS connected (
        platform TEXT NOT NULL, account TEXT NOT NULL, livemode INTEGER NOT NULL,
        created INTEGER NOT NULL, ended_at INTEGER, facts TEXT NOT NULL DEFAULT '{}',
        PRIMARY KEY (platform, account, livemode))""",
    """CREATE TABLE IF NOT EXISTS tickets (
        token TEXT PRIMARY KEY, kind TEXT NOT NULL, platform TEXT NOT NULL, account TEXT NOT NULL,
        livemode INTEGER NOT NULL, created REAL NOT NULL, used_at REAL,
        facts TEXT NOT NULL DEFAULT '{}')""",
    """CREATE TABLE IF NOT EXISTS deliveries (
        id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, type TEXT NOT NULL,
        endpoint TEXT NOT NULL, url TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
        next_try_at REAL NOT NULL, claimed_at REAL, attempts INTEGER NOT NULL DEFAULT 0,
        answer INTEGER, error TEXT NOT NULL DEFAULT '', delivered_at REAL)""",
    "CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, next_try_at)",
    """CREATE TABLE IF NOT EXISTS faults (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, method TEXT NOT NULL,
        path TEXT NOT NULL, remaining INTEGER, delay_ms INTEGER NOT NULL, created REAL NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS mails (
        id INTEGER PRIMARY KEY AUTOINCREMENT, received_at REAL NOT NULL, sender TEXT NOT NULL,
        recipients TEXT NOT NULL, subject TEXT NOT NULL, raw BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS api_calls (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, request_id TEXT NOT NULL,
        method TEXT NOT NULL, path TEXT NOT NULL, status INTEGER NOT NULL, account TEXT NOT NULL,
        livemode INTEGER, idempotency_key TEXT NOT NULL, params TEXT NOT NULL,
        replayed INTEGER NOT NULL, fault TEXT NOT NULL)""",
)

TABLES = (
    "notes",
    "accounts",
    "api_keys",
    "connected",
    "tickets",
    "objects",
    "idempotency",
    "deliveries",
    "faults",
    "mails",
    "api_calls",
)
