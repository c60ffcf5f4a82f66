-- depends: 0013_replication

-- Who has signed in to the console. There need not be a row of the key: in development mode any is
-- good.
CREATE TABLE console_sessions (
    id TEXT PRIMARY KEY,
    access_key_id TEXT NOT NULL,
    region TEXT NOT NULL,
    expires_at REAL NOT NULL
);
CREATE INDEX console_sessions_by_end ON console_sessions (expires_at);

-- Tries to sign in that failed, or are under way, by the address they come from.
CREATE TABLE console_attempts (
    address TEXT PRIMARY KEY,
    attempts INTEGER NOT NULL,
    until REAL NOT NULL
);
CREATE INDEX console_attempts_by_end ON console_attempts (until);

UPDATE schema_version SET version = 15;
