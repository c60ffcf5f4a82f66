-- depends: 0009_pull_through

-- A registry's scanning configuration; rules are JSON. What was reconsidered under it: the images up
-- to this id.
CREATE TABLE scanning_configurations (
    registry_id TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    scan_type TEXT COLLATE "C" NOT NULL,
    rules TEXT COLLATE "C" NOT NULL,
    reconsidered BIGINT,
    PRIMARY KEY (registry_id, region)
);
CREATE INDEX scanning_configurations_new ON scanning_configurations (registry_id, region)
WHERE reconsidered IS NOT NULL;

-- An image's last scan. `feed` is the number of the advisories that it was matched with; counts are
-- JSON.
CREATE TABLE scans (
    image_id BIGINT PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    scan_type TEXT COLLATE "C" NOT NULL,
    is_continuous SMALLINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    requested_at DOUBLE PRECISION NOT NULL,
    completed_at DOUBLE PRECISION,
    feed BIGINT,
    feed_updated_at DOUBLE PRECISION,
    counts TEXT COLLATE "C" NOT NULL
);
CREATE INDEX scans_waiting ON scans (requested_at) WHERE status = 'WAITING';
CREATE INDEX scans_continuous ON scans (feed, image_id)
WHERE is_continuous = 1 AND status = 'COMPLETE';

-- What is in the image, and what that meets: packed JSON.
CREATE TABLE scan_results (
    image_id BIGINT PRIMARY KEY REFERENCES scans (image_id) ON DELETE CASCADE,
    inventory BYTEA NOT NULL,
    findings BYTEA NOT NULL
);

-- Advisories hold from one number of the feed on, to another: an import writes beside those in
-- force, then changes the number.
CREATE TABLE advisories (
    id TEXT COLLATE "C" NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT,
    modified DOUBLE PRECISION NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (id, since)
);
CREATE INDEX advisories_by_start ON advisories (since);
CREATE INDEX advisories_by_end ON advisories (until) WHERE until IS NOT NULL;

CREATE TABLE advisory_packages (
    ecosystem TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    advisory_id TEXT COLLATE "C" NOT NULL,
    since BIGINT NOT NULL,
    affected TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (ecosystem, name, advisory_id, since),
    FOREIGN KEY (advisory_id, since) REFERENCES advisories (id, since) ON DELETE CASCADE
);
CREATE INDEX advisory_packages_by_advisory ON advisory_packages (advisory_id, since);

-- One row: the number in force, and which import is on its way to the next.
CREATE TABLE advisory_feed (
    id INTEGER PRIMARY KEY,
    number BIGINT NOT NULL,
    updated_at DOUBLE PRECISION,
    source TEXT COLLATE "C" NOT NULL
);

UPDATE schema_version SET version = 10;
