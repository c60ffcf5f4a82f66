-- depends: 0007_events

-- Work in an order of its own for each (work, owner, key): of a lane only the first task is ever
-- tried, and what fails is tried again before the next. Empty lanes are deleted.
CREATE TABLE lanes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    work TEXT NOT NULL,
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL,
    failure TEXT NOT NULL DEFAULT '',
    UNIQUE (work, owner, key)
);
CREATE INDEX lanes_due ON lanes (work, next_at);

CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lane_id INTEGER NOT NULL REFERENCES lanes (id) ON DELETE CASCADE,
    batch TEXT,
    created_at REAL NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX tasks_in_lane ON tasks (lane_id, id);
CREATE INDEX tasks_of_batch ON tasks (batch, id) WHERE batch IS NOT NULL;

-- Who is told of a registry's events. Empty lists of patterns mean all.
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    url TEXT NOT NULL,
    kinds TEXT NOT NULL,
    repositories TEXT NOT NULL,
    created_at REAL NOT NULL
);

-- What could not be delivered, until it is tried again or forgotten.
CREATE TABLE dead_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    repository TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    failure TEXT NOT NULL,
    died_at REAL NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX dead_deliveries_of_webhook ON dead_deliveries (webhook_id, id);
CREATE INDEX dead_deliveries_by_time ON dead_deliveries (died_at);

CREATE INDEX events_of_registry ON events (registry_id, region, position);

UPDATE schema_version SET version = 8;
