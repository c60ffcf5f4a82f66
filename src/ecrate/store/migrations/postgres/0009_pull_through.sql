-- depends: 0008_webhooks

-- Pull through cache rules. The upstream of one is left alone until paused_until, because of
-- `pause`.
CREATE TABLE pull_through_rules (
    registry_id TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    prefix TEXT COLLATE "C" NOT NULL,
    url TEXT COLLATE "C" NOT NULL,
    upstream_registry TEXT COLLATE "C",
    upstream_prefix TEXT COLLATE "C",
    credential_arn TEXT COLLATE "C",
    custom_role_arn TEXT COLLATE "C",
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL,
    paused_until DOUBLE PRECISION NOT NULL DEFAULT 0,
    pause TEXT COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (registry_id, region, prefix)
);

-- Of a tag that came from upstream: when it was last compared, and the entity tag it had there.
ALTER TABLE tags ADD COLUMN checked_at DOUBLE PRECISION;
ALTER TABLE tags ADD COLUMN etag TEXT COLLATE "C";

-- When the upstream was last asked for what names an image as its subject.
CREATE TABLE upstream_subjects (
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    subject TEXT COLLATE "C" NOT NULL,
    checked_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (repository_id, subject)
);

-- What a cached image needs and is still to be fetched, asked for or not.
CREATE TABLE upstream_imports (
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest TEXT COLLATE "C" NOT NULL,
    is_manifest SMALLINT NOT NULL,
    not_before DOUBLE PRECISION NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX upstream_imports_by_time ON upstream_imports (not_before);

UPDATE schema_version SET version = 9;
