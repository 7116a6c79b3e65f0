-- What the status page keeps: who may act as the owner, and what was set there.

-- One value a row, as JSON: "password" (argon2), "language", "time_zone", "own_number", …
CREATE TABLE owner_setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE owner_session (
  hash BLOB PRIMARY KEY,              -- SHA-256 of the cookie; the cookie itself is kept nowhere
  created_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  agent TEXT NOT NULL                 -- what browser it was, for the owner to recognise
) WITHOUT ROWID;

-- Limits set on the page; a device without a row has those of the configuration.
CREATE TABLE device_limits (device INTEGER PRIMARY KEY REFERENCES device ON DELETE CASCADE, limits TEXT NOT NULL);

CREATE INDEX delivery_given_up_at ON delivery (created_at) WHERE state = 'given_up';
