-- depends: 0001_first

-- Older code would delete what is locked, and cannot delete what has a bin.
UPDATE schema_version SET version = 2, oldest_code = 2;

-- Nothing is deleted from a locked repository.
ALTER TABLE repositories ADD COLUMN is_locked INTEGER NOT NULL DEFAULT 0;

-- What was deleted lies in repositories of a registry that no door leads to: its id is 'trash', a
-- name there is the repository's id. So the rows that keep bytes stay as they are, and no query
-- has to pass them by. A deleted repository becomes one of these, whatever it holds; this is what
-- it was. Of kept_until 0 it is no longer to be had: the collector is at it.
CREATE TABLE trash_repositories (
    repository_id INTEGER PRIMARY KEY REFERENCES repositories (id),
    registry_id TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    lifecycle_policy TEXT,
    deleted_at REAL NOT NULL,
    kept_until REAL NOT NULL
);
CREATE INDEX trash_repositories_by_name ON trash_repositories (registry_id, region, name);
CREATE INDEX trash_repositories_by_end ON trash_repositories (kept_until);

-- A deleted image goes to its repository's bin, another such repository, where it has no tags and
-- no children.
CREATE TABLE trash_bins (
    repository_id INTEGER PRIMARY KEY REFERENCES repositories (id),
    bin_id INTEGER NOT NULL UNIQUE REFERENCES repositories (id)
);

-- tags: those it had, in JSON.
CREATE TABLE trash_images (
    image_id INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    tags TEXT NOT NULL,
    deleted_at REAL NOT NULL,
    kept_until REAL NOT NULL
);
CREATE INDEX trash_images_by_end ON trash_images (kept_until);

-- What the holder of the collector's lease has settled since it took it over.
CREATE TABLE collected (
    lease TEXT PRIMARY KEY,
    since REAL NOT NULL,
    trash INTEGER NOT NULL DEFAULT 0,
    links INTEGER NOT NULL DEFAULT 0,
    blobs INTEGER NOT NULL DEFAULT 0,
    uploads INTEGER NOT NULL DEFAULT 0,
    files INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
);
