-- depends: 0006_lost_blobs

-- What has happened, written by the transaction in which it did. `actor` is who did it: a
-- principal's ARN, or the name of the background work. Rows leave for `events` at once.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    repository TEXT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    happened_at REAL NOT NULL,
    detail TEXT NOT NULL
);

-- The same in one order, which is that of the outbox for each repository: no event ever appears
-- before one that was seen.
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    repository TEXT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    happened_at REAL NOT NULL,
    detail TEXT NOT NULL
);

-- How far each background work has come with them.
CREATE TABLE event_readers (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL
);

UPDATE schema_version SET version = 7;
