-- depends: 0011_signing

-- The bundles that this registry has taken over, the last of each source: where `is_done` is 0,
-- one that was broken off.
CREATE TABLE applied_bundles (
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    source TEXT NOT NULL,
    bundle_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    is_done INTEGER NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (registry_id, region, source)
);

UPDATE schema_version SET version = 12;
