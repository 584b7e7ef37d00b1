-- What a user proves beside a password. `secret` is a TOTP seed sealed with the instance key, or a
-- passkey's public key and metadata; `counter` the last step or signature that was used.
CREATE TABLE authenticators (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    secret BLOB NOT NULL,
    credential_id BLOB UNIQUE,
    counter INTEGER NOT NULL,
    is_confirmed INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
CREATE INDEX authenticators_by_user ON authenticators (user_id, id);

-- Codes that stand in for a lost authenticator, hashed; a used one is removed.
CREATE TABLE recovery_codes (
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    code_hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, code_hash)
) STRICT, WITHOUT ROWID;

-- Wrong codes in a row, and until when no further one is looked at.
CREATE TABLE factor_tries (
    user_id INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    failures INTEGER NOT NULL,
    blocked_until INTEGER NOT NULL
) STRICT;

-- Browsers that somebody signed in with before. The secret is in the browser's cookie.
CREATE TABLE known_devices (
    secret_hash BLOB NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, secret_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX known_devices_by_secret ON known_devices (secret_hash);
CREATE INDEX known_devices_by_last_use ON known_devices (last_used_at);

ALTER TABLE user_policies ADD COLUMN require_factor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE group_policies ADD COLUMN require_factor INTEGER NOT NULL DEFAULT 0;

-- Whether the browser was a known one of its user when it signed in.
ALTER TABLE sessions ADD COLUMN is_known_device INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ended_sessions ADD COLUMN is_known_device INTEGER NOT NULL DEFAULT 0;

-- What a sign-in under way has proved so far.
ALTER TABLE pending_sign_ins ADD COLUMN methods TEXT NOT NULL DEFAULT 'pwd';
