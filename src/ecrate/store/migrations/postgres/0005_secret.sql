-- depends: 0003_blob_state

-- Which secret the access keys follow from: so that a node with another one is noticed.
CREATE TABLE secret (
    fingerprint TEXT COLLATE "C" PRIMARY KEY
);

UPDATE schema_version SET version = 5;
