-- depends: 0002_trash

-- What a blob store without files needs to know of an upload, and which writer's turn it is:
-- `claim` is empty where nobody writes, or where the blob store itself keeps writers apart.
ALTER TABLE uploads ADD COLUMN blob_state BYTEA NOT NULL DEFAULT '';
ALTER TABLE uploads ADD COLUMN claim TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE uploads ADD COLUMN claim_until DOUBLE PRECISION NOT NULL DEFAULT 0;

-- The same of an upload that was ended before it became a blob.
ALTER TABLE garbage ADD COLUMN blob_state BYTEA NOT NULL DEFAULT '';

-- One row: who this database is, to blob stores that others may use as well.
CREATE TABLE installation (
    id TEXT COLLATE "C" PRIMARY KEY
);

UPDATE schema_version SET version = 3, oldest_code = 3;
