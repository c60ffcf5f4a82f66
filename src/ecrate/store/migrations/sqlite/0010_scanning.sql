-- depends: 0009_pull_through

-- A registry's scanning configuration; rules are JSON. What was reconsidered under it: the images up
-- to this id.
CREATE TABLE scanning_configurations (
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    scan_type TEXT NOT NULL,
    rules TEXT NOT NULL,
    reconsidered INTEGER,
    PRIMARY KEY (registry_id, region)
);
CREATE INDEX scanning_configurations_new ON scanning_configurations (registry_id, region)
WHERE reconsidered IS NOT NULL;

-- An image's last scan. `feed` is the number of the advisories that it was matched with; counts are
-- JSON.
CREATE TABLE scans (
    image_id INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    scan_type TEXT NOT NULL,
    is_continuous INTEGER NOT NULL,
    status TEXT NOT NULL,
    description TEXT NOT NULL,
    requested_at REAL NOT NULL,
    completed_at REAL,
    feed INTEGER,
    feed_updated_at REAL,
    counts TEXT NOT NULL
);
CREATE INDEX scans_waiting ON scans (requested_at) WHERE status = 'WAITING';
CREATE INDEX scans_continuous ON scans (feed, image_id)
WHERE is_continuous = 1 AND status = 'COMPLETE';

-- What is in the image, and what that meets: packed JSON.
CREATE TABLE scan_results (
    image_id INTEGER PRIMARY KEY REFERENCES scans (image_id) ON DELETE CASCADE,
    inventory BLOB NOT NULL,
    findings BLOB NOT NULL
);

-- Advisories hold from one number of the feed on, to another: an import writes beside those in
-- force, then changes the number.
CREATE TABLE advisories (
    id TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    modified REAL NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (id, since)
);
CREATE INDEX advisories_by_start ON advisories (since);
CREATE INDEX advisories_by_end ON advisories (until) WHERE until IS NOT NULL;

CREATE TABLE advisory_packages (
    ecosystem TEXT NOT NULL,
    name TEXT NOT NULL,
    advisory_id TEXT NOT NULL,
    since INTEGER NOT NULL,
    affected TEXT NOT NULL,
    PRIMARY KEY (ecosystem, name, advisory_id, since),
    FOREIGN KEY (advisory_id, since) REFERENCES advisories (id, since) ON DELETE CASCADE
);
CREATE INDEX advisory_packages_by_advisory ON advisory_packages (advisory_id, since);

-- One row: the number in force, and which import is on its way to the next.
CREATE TABLE advisory_feed (
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    updated_at REAL,
    source TEXT NOT NULL
);

UPDATE schema_version SET version = 10;
