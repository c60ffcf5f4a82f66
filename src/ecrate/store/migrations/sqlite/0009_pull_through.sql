-- depends: 0008_webhooks

-- Pull through cache rules. The upstream of one is left alone until paused_until, because of
-- `pause`.
CREATE TABLE pull_through_rules (
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    prefix TEXT NOT NULL,
    url TEXT NOT NULL,
    upstream_registry TEXT,
    upstream_prefix TEXT,
    credential_arn TEXT,
    custom_role_arn TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    paused_until REAL NOT NULL DEFAULT 0,
    pause TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (registry_id, region, prefix)
);

-- Of a tag that came from upstream: when it was last compared, and the entity tag it had there.
ALTER TABLE tags ADD COLUMN checked_at REAL;
ALTER TABLE tags ADD COLUMN etag TEXT;

-- When the upstream was last asked for what names an image as its subject.
CREATE TABLE upstream_subjects (
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    checked_at REAL NOT NULL,
    PRIMARY KEY (repository_id, subject)
);

-- What a cached image needs and is still to be fetched, asked for or not.
CREATE TABLE upstream_imports (
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    is_manifest INTEGER NOT NULL,
    not_before REAL NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX upstream_imports_by_time ON upstream_imports (not_before);

UPDATE schema_version SET version = 9;
