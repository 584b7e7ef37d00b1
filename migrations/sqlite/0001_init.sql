-- Instants are microseconds since 1970. Text compares by code point (SQLite's BINARY collation).

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL UNIQUE,
    username_folded TEXT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    password_hash TEXT,
    is_active INTEGER NOT NULL,
    is_superuser INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_sign_in_at INTEGER
) STRICT;
CREATE INDEX users_by_email ON users (email_folded) WHERE email_folded <> '';

CREATE TABLE user_permissions (
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    permission TEXT NOT NULL,
    PRIMARY KEY (user_id, permission)
) STRICT, WITHOUT ROWID;

CREATE TABLE groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    is_superuser INTEGER NOT NULL
) STRICT;

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

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key_hash BLOB NOT NULL UNIQUE,
    identifier TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    intent TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    is_expiring INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_by_user ON tokens (user_id);

-- One row for each distinct text; sessions refer to it. The parts are what uap-core's rules read.
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

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    key_hash BLOB NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    -- The nearer of the idle and the absolute timeout's end.
    expires_at INTEGER NOT NULL,
    absolute_expires_at INTEGER NOT NULL,
    idle_timeout INTEGER,
    last_ip TEXT NOT NULL,
    last_ip_key BLOB NOT NULL,
    user_agent_id INTEGER NOT NULL REFERENCES user_agents,
    country TEXT NOT NULL,
    asn INTEGER,
    methods TEXT NOT NULL,
    is_remembered INTEGER NOT NULL,
    label TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id, uuid);
CREATE INDEX sessions_by_last_used ON sessions (last_used_at, uuid);
CREATE INDEX sessions_by_last_ip ON sessions (last_ip_key, uuid);
CREATE INDEX sessions_by_user_agent ON sessions (user_agent_id, uuid);
CREATE INDEX sessions_by_expiry ON sessions (expires_at, uuid);
CREATE INDEX sessions_by_country ON sessions (country, uuid);
CREATE INDEX sessions_by_asn ON sessions (asn, uuid);

-- How many sessions there are, in all (kind 'all') and for each user, user agent, country and ASN.
-- Kept in the transaction that changes them. `slot` spreads a hot row on PostgreSQL.
CREATE TABLE session_counts (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    slot INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (kind, key, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE ended_sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL,
    user_id INTEGER NOT NULL,
    username TEXT NOT NULL,
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
    label TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    ended_by INTEGER,
    ended_by_name TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX ended_sessions_by_uuid ON ended_sessions (uuid);
CREATE INDEX ended_sessions_by_end ON ended_sessions (ended_at, uuid);
CREATE INDEX ended_sessions_by_user ON ended_sessions (user_id, ended_at);
CREATE INDEX ended_sessions_by_user_agent ON ended_sessions (user_agent_id);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor_id INTEGER,
    actor TEXT NOT NULL,
    user_id INTEGER,
    username TEXT NOT NULL,
    ip TEXT NOT NULL,
    request_id TEXT NOT NULL,
    session_uuid BLOB,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_user ON events (user_id, at);

-- A password that was proved in a sign-in that still has a step to go. Used once.
CREATE TABLE pending_sign_ins (
    key_hash BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_sign_ins_by_expiry ON pending_sign_ins (expires_at);

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
