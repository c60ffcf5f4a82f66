-- depends: 0010_scanning

-- Which images of a registry are signed when they are pushed, and by which profiles: the
-- configuration's rules, in JSON.
CREATE TABLE signing_configurations (
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    rules TEXT NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (registry_id, region)
);

-- What becomes of that. `status` is IN_PROGRESS, COMPLETE or FAILED; of one in progress, `due_at`
-- is when it is to be tried, after `attempts` that failed.
CREATE TABLE image_signings (
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    profile_arn TEXT NOT NULL,
    status TEXT NOT NULL,
    failure_code TEXT,
    failure_reason TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL,
    PRIMARY KEY (image_id, profile_arn)
);
CREATE INDEX image_signings_by_due ON image_signings (due_at);

-- What an image has to be like to be pulled from a repository: `conditions` in JSON. `mode` is
-- enforce or dry-run.
CREATE TABLE pull_gates (
    repository_id INTEGER PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
    mode TEXT NOT NULL,
    conditions TEXT NOT NULL,
    updated_at REAL NOT NULL
);
ALTER TABLE repositories ADD COLUMN has_gate INTEGER NOT NULL DEFAULT 0;

-- Older code would let pass what a gate refuses.
UPDATE schema_version SET version = 11, oldest_code = 11;
