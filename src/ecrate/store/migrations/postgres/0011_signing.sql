-- depends: 0010_scanning

-- Which images of a registry are signed when they are pushed, and by which profiles: the
-- configuration's rules, in JSON.
CREATE TABLE signing_configurations (
    registry_id TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    rules TEXT COLLATE "C" NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (registry_id, region)
);

-- What becomes of that. `status` is IN_PROGRESS, COMPLETE or FAILED; of one in progress, `due_at`
-- is when it is to be tried, after `attempts` that failed.
CREATE TABLE image_signings (
    image_id BIGINT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    profile_arn TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    failure_code TEXT COLLATE "C",
    failure_reason TEXT COLLATE "C",
    attempts BIGINT NOT NULL DEFAULT 0,
    due_at DOUBLE PRECISION,
    PRIMARY KEY (image_id, profile_arn)
);
CREATE INDEX image_signings_by_due ON image_signings (due_at);

-- What an image has to be like to be pulled from a repository: `conditions` in JSON. `mode` is
-- enforce or dry-run.
CREATE TABLE pull_gates (
    repository_id BIGINT PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
    mode TEXT COLLATE "C" NOT NULL,
    conditions TEXT COLLATE "C" NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);
ALTER TABLE repositories ADD COLUMN has_gate SMALLINT NOT NULL DEFAULT 0;

-- Older code would let pass what a gate refuses.
UPDATE schema_version SET version = 11, oldest_code = 11;
