-- depends: 0011_signing

-- The bundles that this registry has taken over, the last of each source: where `is_done` is 0,
-- one that was broken off.
CREATE TABLE applied_bundles (
    registry_id TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    bundle_id TEXT COLLATE "C" NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    is_done SMALLINT NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (registry_id, region, source)
);

UPDATE schema_version SET version = 12;
