-- Events by filter in the order of time, so that a page of any filter reads no more than its rows.
CREATE INDEX events_by_kind_time ON events (kind, at);
CREATE INDEX events_by_actor_time ON events (actor, at) WHERE actor_uuid IS NOT NULL;
CREATE INDEX events_by_ip_time ON events (ip, at) WHERE ip <> '';
-- The names that sign-ins failed with.
CREATE INDEX events_failed_by_name ON events (username, at)
    WHERE kind IN ('sign_in_failed', 'sign_in_refused', 'factor_failed');
CREATE INDEX events_by_application ON events (application, at) WHERE application <> '';

-- A token's key is stored hashed. `sealed_key` is the key sealed with the instance key, for those who may
-- see it again, until `sealed_until` (null: for good).
ALTER TABLE tokens ADD COLUMN managed TEXT;
ALTER TABLE tokens ADD COLUMN sealed_key BLOB;
ALTER TABLE tokens ADD COLUMN sealed_until INTEGER;
ALTER TABLE tokens ADD COLUMN updated_at INTEGER;
-- What it may do, as words separated by blanks; '': all that its owner may.
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN last_used_at INTEGER;
-- The key before the last rotation, which opens the same until `old_key_until`.
ALTER TABLE tokens ADD COLUMN old_key_hash BLOB;
ALTER TABLE tokens ADD COLUMN old_key_until INTEGER;
CREATE UNIQUE INDEX tokens_by_old_key ON tokens (old_key_hash) WHERE old_key_hash IS NOT NULL;
CREATE INDEX tokens_sealed ON tokens (sealed_until) WHERE sealed_until IS NOT NULL;

-- What a token has ended one by one since its minute began, as JSON (domain/burst.rs).
CREATE TABLE token_bursts (
    token_id INTEGER PRIMARY KEY REFERENCES tokens ON DELETE CASCADE,
    burst TEXT NOT NULL
) STRICT;
