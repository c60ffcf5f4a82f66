-- depends: 0001_first

-- Older code would delete what is locked, and cannot delete what has a bin.
UPDATE schema_version SET version = 2, oldest_code = 2;

-- Nothing is deleted from a locked repository.
ALTER TABLE repositories ADD COLUMN is_locked SMALLINT NOT NULL DEFAULT 0;

-- What was deleted lies in repositories of a registry that no door leads to: its id is 'trash', a
-- name there is the repository's id. So the rows that keep bytes stay as they are, and no query
-- has to pass them by. A deleted repository becomes one of these, whatever it holds; this is what
-- it was. Of kept_until 0 it is no longer to be had: the collector is at it.
CREATE TABLE trash_repositories (
    repository_id BIGINT PRIMARY KEY REFERENCES repositories (id),
    registry_id TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    lifecycle_policy TEXT COLLATE "C",
    deleted_at DOUBLE PRECISION NOT NULL,
    kept_until DOUBLE PRECISION NOT NULL
);
CREATE INDEX trash_repositories_by_name ON trash_repositories (registry_id, region, name);
CREATE INDEX trash_repositories_by_end ON trash_repositories (kept_until);

-- A deleted image goes to its repository's bin, another such repository, where it has no tags and
-- no children.
CREATE TABLE trash_bins (
    repository_id BIGINT PRIMARY KEY REFERENCES repositories (id),
    bin_id BIGINT NOT NULL UNIQUE REFERENCES repositories (id)
);

-- tags: those it had, in JSON.
CREATE TABLE trash_images (
    image_id BIGINT PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    tags TEXT COLLATE "C" NOT NULL,
    deleted_at DOUBLE PRECISION NOT NULL,
    kept_until DOUBLE PRECISION NOT NULL
);
CREATE INDEX trash_images_by_end ON trash_images (kept_until);

-- What the holder of the collector's lease has settled since it took it over.
CREATE TABLE collected (
    lease TEXT COLLATE "C" PRIMARY KEY,
    since DOUBLE PRECISION NOT NULL,
    trash BIGINT NOT NULL DEFAULT 0,
    links BIGINT NOT NULL DEFAULT 0,
    blobs BIGINT NOT NULL DEFAULT 0,
    uploads BIGINT NOT NULL DEFAULT 0,
    files BIGINT NOT NULL DEFAULT 0,
    bytes BIGINT NOT NULL DEFAULT 0
);
