-- An authentik that is watched, and what is known of its sessions (docs/watch.md). The tables have no keys of sessions:
-- nothing here can let anybody in.
CREATE TABLE sources (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- authentik.
    kind TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    version TEXT NOT NULL DEFAULT '',
    -- The owner of the token by primary key, and the uid that the instance gave them; 0 and '': not known so far.
    owner_pk INTEGER NOT NULL DEFAULT 0,
    owner_uid TEXT NOT NULL DEFAULT '',
    -- The state of the copy (domain/source.rs), and why it is so.
    state TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    -- How many sessions the source counted last.
    total INTEGER NOT NULL DEFAULT 0,
    -- When the copy last agreed with the source; when the last complete walk through all sessions began; the latest use
    -- that was seen. 0: never.
    seen_at INTEGER NOT NULL DEFAULT 0,
    swept_at INTEGER NOT NULL DEFAULT 0,
    newest_used_at INTEGER NOT NULL DEFAULT 0,
    -- The process that polls, and until when no other one may.
    lease_holder TEXT NOT NULL DEFAULT '',
    lease_until INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The names of users at a source. Their primary keys are the source's own and name nobody in `users`.
CREATE TABLE source_users (
    source_id INTEGER NOT NULL,
    pk INTEGER NOT NULL,
    username TEXT NOT NULL,
    username_folded TEXT NOT NULL,
    name TEXT NOT NULL,
    is_active INTEGER NOT NULL,
    PRIMARY KEY (source_id, pk)
) STRICT, WITHOUT ROWID;

-- The living sessions of a source, as they were last seen.
CREATE TABLE watched_sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source_id INTEGER NOT NULL,
    uuid BLOB NOT NULL,
    user_pk INTEGER NOT NULL,
    last_ip TEXT NOT NULL,
    last_ip_key BLOB NOT NULL,
    user_agent_id INTEGER NOT NULL REFERENCES user_agents,
    country TEXT NOT NULL,
    asn INTEGER,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    first_seen_at INTEGER NOT NULL,
    -- When the row was last written from an answer of the source.
    seen_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX watched_sessions_by_uuid ON watched_sessions (source_id, uuid);
CREATE INDEX watched_sessions_by_user ON watched_sessions (source_id, user_pk);
CREATE INDEX watched_sessions_by_last_use ON watched_sessions (last_used_at, id);
CREATE INDEX watched_sessions_by_user_agent ON watched_sessions (user_agent_id);

-- Ended sessions of a source: which one (null: Rollcall's own), and when the session was last seen alive there. It ended
-- between then and `ended_at`.
ALTER TABLE ended_sessions ADD COLUMN source_id INTEGER;
ALTER TABLE ended_sessions ADD COLUMN seen_at INTEGER;
