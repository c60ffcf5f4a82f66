-- depends: 0010_scanning

CREATE TABLE replication_rules (
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    rules TEXT NOT NULL,
    PRIMARY KEY (registry_id, region)
);

-- How far an image has come on its way to a destination: how many copies of it wait, one a tag, and
-- why the last one failed, if it did.
CREATE TABLE replications (
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    destination_id TEXT NOT NULL,
    destination_region TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    failure_code TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (repository_id, digest, destination_id, destination_region)
);

-- `place` is where the preparation goes on: JSON of repository, image id and tag.
CREATE TABLE backfills (
    id TEXT PRIMARY KEY,
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    destination_id TEXT NOT NULL,
    destination_region TEXT NOT NULL,
    status TEXT NOT NULL,
    place TEXT NOT NULL,
    total INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    is_prepared INTEGER NOT NULL DEFAULT 0,
    started_at REAL NOT NULL,
    ended_at REAL
);
CREATE INDEX backfills_of_registry ON backfills (registry_id, region, started_at, id);
CREATE INDEX backfills_by_status ON backfills (status, ended_at);

CREATE TABLE backfill_results (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    backfill_id TEXT NOT NULL REFERENCES backfills (id) ON DELETE CASCADE,
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    tag TEXT,
    failure_code TEXT NOT NULL,
    child_failure_code TEXT
);
CREATE INDEX backfill_results_of_backfill ON backfill_results (backfill_id, id);

UPDATE schema_version SET version = 13;
