BEGIN TRANSACTION;
CREATE TABLE "_yoyo_log" (
            "id" VARCHAR(36),
            "migration_hash" VARCHAR(64),
            "migration_id" VARCHAR(255),
            "operation" VARCHAR(10),
            "username" VARCHAR(255),
            "hostname" VARCHAR(255),
            "comment" VARCHAR(255),
            "created_at_utc" TIMESTAMP,
            PRIMARY KEY ("id")
        );
CREATE TABLE "_yoyo_migration" (
            "migration_hash" VARCHAR(64),
            "migration_id" VARCHAR(255),
            "applied_at_utc" TIMESTAMP,
            PRIMARY KEY ("migration_hash")
        );
INSERT INTO "_yoyo_migration" VALUES('1e6218c01a2544c455877bc048393e7a9254faf06f3b6e1a8cd1ecc277b2041b','0001_first','2026-11-24T14:25:55.760195');
CREATE TABLE "_yoyo_version" (
            "version" INT NOT NULL PRIMARY KEY,
            "installed_at_utc" TIMESTAMP
        );
INSERT INTO "_yoyo_version" VALUES(2,'2026-11-24 14:25:55.689986');
CREATE TABLE access_keys (
    id TEXT PRIMARY KEY,
    principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    is_active INTEGER NOT NULL DEFAULT 1,
    created_at REAL NOT NULL
);
CREATE TABLE account_settings (
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (registry_id, region, name)
);
CREATE TABLE attached_policies (
    principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    policy_arn TEXT NOT NULL REFERENCES managed_policies (arn),
    PRIMARY KEY (principal_id, policy_arn)
);
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    stored_at REAL NOT NULL
);
INSERT INTO "blobs" VALUES(1,'d1','k1',1,0.0);
CREATE TABLE garbage (
    key TEXT PRIMARY KEY,
    digest TEXT,
    size INTEGER NOT NULL,
    removed_at REAL NOT NULL
);
CREATE TABLE image_children (
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    child_id INTEGER NOT NULL REFERENCES images (id),
    PRIMARY KEY (image_id, child_id)
);
INSERT INTO "image_children" VALUES(2,1);
CREATE TABLE image_layers (
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    repository_id INTEGER NOT NULL,
    blob_id INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    PRIMARY KEY (image_id, blob_id),
    FOREIGN KEY (repository_id, blob_id) REFERENCES layers (repository_id, blob_id)
);
INSERT INTO "image_layers" VALUES(1,1,1,'t');
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    artifact_media_type TEXT,
    size INTEGER NOT NULL,
    pushed_at REAL NOT NULL,
    last_pulled_at REAL,
    subject TEXT,
    annotations TEXT,
    manifest_size INTEGER NOT NULL,
    tag_count INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    archived_at REAL,
    activated_at REAL,
    has_lost_subject INTEGER NOT NULL DEFAULT 0,
    UNIQUE (repository_id, digest)
);
INSERT INTO "images" VALUES(1,1,'i1','t',NULL,1,0.0,NULL,NULL,NULL,1,0,'ACTIVE',NULL,NULL,0);
INSERT INTO "images" VALUES(2,1,'i2','t',NULL,1,0.0,NULL,NULL,NULL,1,0,'ACTIVE',NULL,NULL,0);
CREATE TABLE inline_policies (
    principal_id INTEGER NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (principal_id, name)
);
CREATE TABLE layers (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    blob_id INTEGER NOT NULL REFERENCES blobs (id),
    touched_at REAL NOT NULL,
    image_count INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (repository_id, blob_id)
);
INSERT INTO "layers" VALUES(1,1,0.0,0);
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_at REAL NOT NULL
);
CREATE TABLE lifecycle_policies (
    repository_id INTEGER PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
    policy TEXT NOT NULL,
    waits_since REAL NOT NULL,
    evaluated_at REAL
);
CREATE TABLE lifecycle_preview_results (
    preview_id TEXT NOT NULL REFERENCES lifecycle_previews (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    digest TEXT NOT NULL,
    tags TEXT NOT NULL,
    pushed_at REAL NOT NULL,
    is_archived INTEGER NOT NULL,
    action TEXT NOT NULL,
    rule_priority INTEGER NOT NULL,
    PRIMARY KEY (preview_id, position),
    UNIQUE (preview_id, digest)
);
CREATE TABLE lifecycle_previews (
    repository_id INTEGER PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
    id TEXT NOT NULL UNIQUE,
    policy TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at REAL NOT NULL,
    expiring_count INTEGER NOT NULL DEFAULT 0,
    transitioning_count INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE managed_policies (
    arn TEXT PRIMARY KEY,
    document TEXT NOT NULL
);
CREATE TABLE manifests (
    image_id INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    content BLOB NOT NULL
);
CREATE TABLE missing_references (
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    repository_id INTEGER NOT NULL,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    is_child INTEGER NOT NULL,
    PRIMARY KEY (image_id, digest)
);
CREATE TABLE principals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    registry_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    arn TEXT NOT NULL UNIQUE,
    trust_policy TEXT,
    created_at REAL NOT NULL,
    UNIQUE (registry_id, kind, name)
);
INSERT INTO "principals" VALUES(1,'1','root','root','arn:aws:iam::1:root',NULL,0.0);
CREATE TABLE pull_time_exclusions (
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    principal_arn TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (registry_id, region, principal_arn)
);
CREATE TABLE registries (
    id TEXT NOT NULL,
    region TEXT NOT NULL,
    repository_count INTEGER NOT NULL,
    PRIMARY KEY (id, region)
);
INSERT INTO "registries" VALUES('1','r',1);
CREATE TABLE registry_policies (
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (registry_id, region)
);
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at REAL NOT NULL,
    tag_mutability TEXT NOT NULL,
    tag_mutability_filters TEXT NOT NULL,
    scan_on_push INTEGER NOT NULL,
    encryption_type TEXT NOT NULL,
    kms_key TEXT,
    image_count INTEGER NOT NULL DEFAULT 0,
    UNIQUE (registry_id, region, name)
);
INSERT INTO "repositories" VALUES(1,'1','r','one',0.0,'MUTABLE','[]',0,'AES256',NULL,0);
CREATE TABLE repository_policies (
    repository_id INTEGER PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
    document TEXT NOT NULL
);
CREATE TABLE resource_tags (
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (repository_id, key)
);
CREATE TABLE schema_version (
    version INTEGER NOT NULL,
    oldest_code INTEGER NOT NULL
);
INSERT INTO "schema_version" VALUES(1,1);
CREATE TABLE tags (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    tag TEXT NOT NULL,
    image_id INTEGER NOT NULL REFERENCES images (id),
    PRIMARY KEY (repository_id, tag)
);
INSERT INTO "tags" VALUES(1,'v1',1);
CREATE TABLE templates (
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    prefix TEXT NOT NULL,
    applied_for TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    description TEXT,
    tag_mutability TEXT NOT NULL,
    tag_mutability_filters TEXT NOT NULL,
    encryption_type TEXT NOT NULL,
    kms_key TEXT,
    resource_tags TEXT NOT NULL,
    repository_policy TEXT,
    lifecycle_policy TEXT,
    custom_role_arn TEXT,
    PRIMARY KEY (registry_id, region, prefix)
);
CREATE TABLE unlinked_blobs (
    blob_id INTEGER PRIMARY KEY REFERENCES blobs (id) ON DELETE CASCADE
);
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    principal TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    parts INTEGER NOT NULL DEFAULT 0,
    last_part_first_byte INTEGER NOT NULL DEFAULT 0,
    has_short_part INTEGER NOT NULL DEFAULT 0,
    hash_state BLOB NOT NULL,
    touched_at REAL NOT NULL,
    completed_digest TEXT,
    existed INTEGER NOT NULL DEFAULT 0
);
INSERT INTO "uploads" VALUES('u1',1,'p',0,0,0,0,'',0.0,NULL,0);
CREATE TABLE "yoyo_lock" ("locked" INT DEFAULT 1, "ctime" TIMESTAMP,"pid" INT NOT NULL,PRIMARY KEY ("locked"));
CREATE INDEX access_keys_by_principal ON access_keys (principal_id);
CREATE INDEX attached_policies_by_policy ON attached_policies (policy_arn);
CREATE INDEX layers_by_blob ON layers (blob_id);
CREATE INDEX layers_unneeded ON layers (touched_at) WHERE image_count = 0;
CREATE INDEX images_in_order ON images (repository_id, id);
CREATE INDEX images_tagged ON images (repository_id, id) WHERE tag_count > 0;
CREATE INDEX images_untagged ON images (repository_id, id) WHERE tag_count = 0;
CREATE INDEX images_archived ON images (repository_id, id) WHERE status <> 'ACTIVE';
CREATE INDEX images_by_subject ON images (repository_id, subject, id) WHERE subject IS NOT NULL;
CREATE INDEX image_layers_by_layer ON image_layers (repository_id, blob_id);
CREATE INDEX image_children_by_child ON image_children (child_id);
CREATE INDEX missing_references_by_digest ON missing_references (repository_id, digest);
CREATE INDEX tags_by_image ON tags (image_id, tag);
CREATE INDEX uploads_by_age ON uploads (touched_at);
CREATE INDEX uploads_by_repository ON uploads (repository_id);
CREATE INDEX garbage_by_age ON garbage (removed_at);
CREATE INDEX lifecycle_policies_by_wait ON lifecycle_policies (waits_since);
CREATE INDEX lifecycle_previews_by_age ON lifecycle_previews (started_at) WHERE status <> 'EXPIRED';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('repositories',1);
INSERT INTO "sqlite_sequence" VALUES('blobs',1);
INSERT INTO "sqlite_sequence" VALUES('images',2);
INSERT INTO "sqlite_sequence" VALUES('principals',1);
COMMIT;
