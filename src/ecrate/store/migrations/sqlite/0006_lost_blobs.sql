-- depends: 0005_secret

-- Since when the bytes are known to be gone or damaged: then the layer is not there for clients,
-- so that they send it again, and the links and images that need it stay as they are.
ALTER TABLE blobs ADD COLUMN lost_at REAL;

UPDATE schema_version SET version = 6;
