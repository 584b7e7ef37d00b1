-- The schema of version 0.1.0.
--
-- Instants and durations are microseconds; instants count from 1970-01-01 UTC. Text compares by
-- code point (SQLite's BINARY collation). A column named `…_key` or `…_hash` never holds a secret
-- in the clear. Booleans are 0 and 1.

-- People. `id` is the primary key that authentik's API shows as `pk`; an import may give the `id`
-- of a removed user to somebody else. So history (events, ended sessions) names a user by `uuid`,
-- which is never used again.
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    -- authentik's `uid`: 256 random bits in hexadecimal, or what an import brought.
    uid TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    -- Folded texts are searched without letter case (domain/fold.rs); keys tell whether two names are
    -- the same (domain/names.rs). Keys may be equal where an import brought both names.
    username_folded TEXT NOT NULL,
    username_key TEXT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    email_key TEXT NOT NULL,
    -- Argon2id in PHC form; null: no sign-in with a password.
    password_hash TEXT,
    is_active INTEGER NOT NULL,
    is_superuser INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_sign_in_at INTEGER,
    -- Counts what else changes how a user proves who they are: second factors and deactivation. With
    -- the password's hash it makes the generation that stored proofs hang on.
    credential_changes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX users_by_username_key ON users (username_key);
CREATE INDEX users_by_email_key ON users (email_key) WHERE email_key <> '';

CREATE TABLE user_permissions (
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    permission TEXT NOT NULL,
    PRIMARY KEY (user_id, permission)
) STRICT, WITHOUT ROWID;

CREATE TABLE groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    name_key TEXT NOT NULL,
    is_superuser INTEGER NOT NULL
) STRICT;

CREATE INDEX groups_by_name_key ON groups (name_key);

CREATE TABLE group_permissions (
    group_id INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
    permission TEXT NOT NULL,
    PRIMARY KEY (group_id, permission)
) STRICT, WITHOUT ROWID;

CREATE TABLE memberships (
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    group_id INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_by_group ON memberships (group_id);

-- The limits that a group or a user has of its own. Null: not set.
CREATE TABLE user_policies (
    user_id INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    idle_timeout INTEGER,
    absolute_timeout INTEGER,
    remember_timeout INTEGER,
    max_sessions INTEGER,
    at_limit TEXT,
    require_factor INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE group_policies (
    group_id INTEGER PRIMARY KEY REFERENCES groups ON DELETE CASCADE,
    idle_timeout INTEGER,
    absolute_timeout INTEGER,
    remember_timeout INTEGER,
    max_sessions INTEGER,
    at_limit TEXT,
    require_factor INTEGER NOT NULL DEFAULT 0
) STRICT;

-- API tokens and single-use links. Only the hash of a key is stored.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    key_hash BLOB NOT NULL UNIQUE,
    identifier TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    intent TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    is_expiring INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- The generation a set-up or recovery link was made for; null for API tokens.
    generation BLOB
) STRICT;
CREATE INDEX tokens_by_user ON tokens (user_id);

-- The dictionary of user agents: one row for each distinct text; sessions refer to it. The parts
-- are read by uap-core's rules; `rules` is the fingerprint of the rules that read them.
CREATE TABLE user_agents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL UNIQUE,
    text_folded TEXT NOT NULL,
    browser TEXT NOT NULL,
    os TEXT NOT NULL,
    device TEXT NOT NULL,
    parsed TEXT NOT NULL,
    rules TEXT NOT NULL
) STRICT;
CREATE INDEX user_agents_by_browser ON user_agents (browser);
CREATE INDEX user_agents_by_os ON user_agents (os);
CREATE INDEX user_agents_by_device ON user_agents (device);
CREATE INDEX user_agents_by_rules ON user_agents (rules);

-- The rows of sessions, written through one type alone (store/sessions/locked.rs). Reads use the
-- view `sessions` below, which leaves out the rows with a pending end.
CREATE TABLE session_rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    key_hash BLOB NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    -- The nearer end of the idle and the absolute timeout.
    expires_at INTEGER NOT NULL,
    absolute_expires_at INTEGER NOT NULL,
    idle_timeout INTEGER,
    last_ip TEXT NOT NULL,
    -- The address as bytes that sort and compare by network.
    last_ip_key BLOB NOT NULL,
    user_agent_id INTEGER NOT NULL REFERENCES user_agents,
    country TEXT NOT NULL,
    asn INTEGER,
    -- How the user authenticated (RFC 8176 words, separated by blanks); '': imported.
    methods TEXT NOT NULL,
    is_remembered INTEGER NOT NULL,
    label TEXT NOT NULL,
    -- When the user last authenticated; 0: never here.
    proved_at INTEGER NOT NULL DEFAULT 0,
    -- Whether the browser was a known device of the user at the sign-in.
    is_known_device INTEGER NOT NULL DEFAULT 0,
    -- Where the user last authenticated, like `last_ip_key`; null: unknown.
    proved_ip_key BLOB
) STRICT;
-- No index on country and asn: the sessions in memory answer those lists, and each index costs a
-- page for every session that begins or ends.
CREATE INDEX sessions_by_user ON session_rows (user_id, uuid);
-- Equal instants are sorted by uuid from the index.
CREATE INDEX sessions_by_last_used ON session_rows (last_used_at, uuid);
CREATE INDEX sessions_by_expiry ON session_rows (expires_at, uuid);
CREATE INDEX sessions_by_last_ip ON session_rows (last_ip_key, uuid);
CREATE INDEX sessions_by_user_agent ON session_rows (user_agent_id, uuid);

-- Pending ends. An end of very many sessions first records their keys, and a job moves the rows to
-- `ended_sessions` later. A row holds what the history needs: when, who ended it, why, and the request.
CREATE TABLE pending_ends (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ended_at INTEGER NOT NULL,
    ended_by_uuid BLOB,
    ended_by_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    comment TEXT NOT NULL,
    ip TEXT NOT NULL,
    request_id TEXT NOT NULL,
    -- The event `sessions_ended` that the events of the single ends belong to; null: none.
    event_id INTEGER
) STRICT;

-- The sessions of the pending ends. No foreign keys: each would cost a look-up for every session
-- that ends. Keys of sessions are never used again, so a row without a session has no effect.
CREATE TABLE pending_end_sessions (
    session_id INTEGER PRIMARY KEY,
    pending_end_id INTEGER NOT NULL
) STRICT;
CREATE INDEX pending_end_sessions_by_end ON pending_end_sessions (pending_end_id, session_id);

-- What everything reads: the sessions without a pending end. SQLite answers `NOT IN` by a look-up
-- by key.
CREATE VIEW sessions AS
SELECT id, uuid, key_hash, user_id, created_at, last_used_at, expires_at, absolute_expires_at, idle_timeout, last_ip,
    last_ip_key, user_agent_id, country, asn, methods, is_remembered, label, proved_at, is_known_device, proved_ip_key
FROM session_rows
WHERE id NOT IN (SELECT session_id FROM pending_end_sessions);

-- Exact counts without counting, kept in the transaction that changes them: all sessions (kind
-- 'all'), those of a user, user agent, country and network, all ended sessions ('ended') and those
-- of a user ('ended_user', by uuid). `slot` spreads a hot row on PostgreSQL.
CREATE TABLE session_counts (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    slot INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (kind, key, slot)
) STRICT, WITHOUT ROWID;

-- The log of changed sessions, in the order of the changes: the sessions in memory catch up by it.
-- `ids` holds the keys of the changed sessions, 8 bytes each, little-endian. There is always a row;
-- when the last row that was read is gone, the memory is filled anew.
CREATE TABLE session_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    ids BLOB NOT NULL
) STRICT;
INSERT INTO session_changes (ids) VALUES (x'');

-- History: sessions that ended, with when, who ended them and why. `username` is the name at that time.
CREATE TABLE ended_sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL,
    user_uuid BLOB NOT NULL,
    username TEXT NOT NULL,
    username_folded TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_ip TEXT NOT NULL,
    last_ip_key BLOB NOT NULL,
    user_agent_id INTEGER NOT NULL REFERENCES user_agents,
    country TEXT NOT NULL,
    asn INTEGER,
    methods TEXT NOT NULL,
    is_remembered INTEGER NOT NULL,
    is_known_device INTEGER NOT NULL DEFAULT 0,
    label TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    -- The user who ended it; null: no user (`system`, `cli`).
    ended_by_uuid BLOB,
    ended_by_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    comment TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX ended_sessions_by_uuid ON ended_sessions (uuid);
CREATE INDEX ended_sessions_by_end ON ended_sessions (ended_at, uuid);
CREATE INDEX ended_sessions_by_user ON ended_sessions (user_uuid, ended_at);
CREATE INDEX ended_sessions_by_user_agent ON ended_sessions (user_agent_id);
CREATE INDEX ended_sessions_by_last_ip ON ended_sessions (last_ip_key, ended_at);
CREATE INDEX ended_sessions_by_username ON ended_sessions (username, ended_at);

-- End jobs: ends of many sessions that go on after the request that began them. Any node continues
-- a job whose lease is over. Rows are kept for a day, so that the page can tell what came of it.
CREATE TABLE end_jobs (
    name TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    -- The request that began it: the name of the user, the address or '', and the request's id.
    actor TEXT NOT NULL,
    ip TEXT NOT NULL,
    request_id TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- Which sessions, as JSON (EndTarget).
    target TEXT NOT NULL,
    total INTEGER NOT NULL,
    comment TEXT NOT NULL,
    -- running, done, changed or stopped (EndJobState).
    state TEXT NOT NULL,
    ended INTEGER NOT NULL,
    remaining INTEGER NOT NULL,
    -- Its event `sessions_ended`; null: not written so far.
    event_id INTEGER,
    -- The process that runs it, and until when no other process may.
    lease_holder TEXT NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;
CREATE INDEX end_jobs_by_user ON end_jobs (user_id);
CREATE INDEX end_jobs_by_time ON end_jobs (began_at);

-- Events: the audit record. Users are named by uuid; `actor` and `username` are the names at that
-- time. `content` is a JSON object, typed by `kind` (domain/event). An event with a `parent_id` is
-- a part of that event: a single end of an end of many.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    parent_id INTEGER,
    -- The slug of the application it is about, or ''.
    application TEXT NOT NULL DEFAULT '',
    actor_uuid BLOB,
    actor TEXT NOT NULL,
    user_uuid BLOB,
    username TEXT NOT NULL,
    ip TEXT NOT NULL,
    request_id TEXT NOT NULL,
    session_uuid BLOB,
    content TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_user ON events (user_uuid, id);
CREATE INDEX events_by_session ON events (session_uuid, id);
CREATE INDEX events_by_kind ON events (kind, id);
CREATE INDEX events_by_parent ON events (parent_id, id) WHERE parent_id IS NOT NULL;
-- Lists leave out the parts of other events, of which there may be very many in a row.
CREATE INDEX events_whole ON events (id) WHERE parent_id IS NULL;

-- A sign-in that has proved a password and still needs another step. Used once.
CREATE TABLE pending_sign_ins (
    key_hash BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,
    -- What it has proved so far.
    methods TEXT NOT NULL DEFAULT 'pwd',
    -- The generation that was proved.
    generation BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_sign_ins_by_expiry ON pending_sign_ins (expires_at);

-- Second factors. `secret` is a TOTP seed sealed with the instance key, or a passkey's public key
-- and metadata; `counter` is the last step or signature counter that was used.
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

-- Codes that replace a lost authenticator, hashed. A used code is deleted.
CREATE TABLE recovery_codes (
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    code_hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, code_hash)
) STRICT, WITHOUT ROWID;

-- Wrong codes in a row, and until when no further code is checked.
CREATE TABLE factor_tries (
    user_id INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    failures INTEGER NOT NULL,
    blocked_until INTEGER NOT NULL
) STRICT;

-- Browsers that a user signed in with before. The secret is in the browser's cookie.
CREATE TABLE known_devices (
    secret_hash BLOB NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, secret_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX known_devices_by_secret ON known_devices (secret_hash);
CREATE INDEX known_devices_by_last_use ON known_devices (last_used_at);

-- The user handle that authenticators store (WebAuthn): random, so that it tells nothing about the
-- user.
CREATE TABLE user_handles (
    user_id INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    handle BLOB NOT NULL UNIQUE
) STRICT;

-- WebAuthn challenges that were answered, until they expire: each is accepted once.
CREATE TABLE used_challenges (
    challenge_hash BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_challenges_by_expiry ON used_challenges (expires_at);

-- Rate limits on guesses: by account, known device, address and instance. `key` is a keyed hash of
-- the subject; `full_at` is when the limit is refilled. Rows are deleted by the hour: an index on
-- `full_at` itself would be written with every guess.
CREATE TABLE guess_limits (
    key BLOB PRIMARY KEY,
    full_at INTEGER NOT NULL,
    -- Whether an event was written about it since it was last refilled.
    is_told INTEGER NOT NULL,
    full_hour INTEGER GENERATED ALWAYS AS (full_at / 3600000000) VIRTUAL
) STRICT, WITHOUT ROWID;
CREATE INDEX guess_limits_by_hour ON guess_limits (full_hour);

-- Values that the server remembers by name, such as which files the stored places came from.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
