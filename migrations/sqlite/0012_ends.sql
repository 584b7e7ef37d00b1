-- Ends of sessions of a watched authentik that somebody asked for here (docs/watch.md). A row is written before the
-- request is sent, so that an end whose outcome is not known is looked into, whatever happens to the process.
CREATE TABLE asked_ends (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source_id INTEGER NOT NULL,
    uuid BLOB NOT NULL,
    -- Who asked: the user by uuid (null: no user), the name, the address or '', and the request's id. Address and id go
    -- when it is settled.
    actor_uuid BLOB,
    actor TEXT NOT NULL,
    ip TEXT NOT NULL,
    request_id TEXT NOT NULL,
    comment TEXT NOT NULL,
    -- Its state (AskedState in domain/source.rs), and why it is so, or ''.
    state TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    asked_at INTEGER NOT NULL,
    -- When the request was sent, and when it was settled; 0: not so far.
    sent_at INTEGER NOT NULL DEFAULT 0,
    settled_at INTEGER NOT NULL DEFAULT 0,
    -- The user at the source. The job that it is one of, and the event that its event is a part of; null: none.
    user_pk INTEGER NOT NULL,
    job_id INTEGER,
    event_id INTEGER
) STRICT;
CREATE UNIQUE INDEX asked_ends_by_uuid ON asked_ends (source_id, uuid);
CREATE INDEX asked_ends_by_state ON asked_ends (source_id, state);
CREATE INDEX asked_ends_by_job ON asked_ends (job_id, state);
CREATE INDEX asked_ends_by_time ON asked_ends (settled_at);

-- Ends of many sessions of a source. Their sessions are in asked_ends. Any node continues a job whose lease is over.
CREATE TABLE source_jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    source_id INTEGER NOT NULL,
    -- Whether all sessions of one user end by one request, as far as the source can.
    is_whole_user INTEGER NOT NULL,
    actor_uuid BLOB,
    actor TEXT NOT NULL,
    -- Which sessions, as JSON.
    filter TEXT NOT NULL,
    comment TEXT NOT NULL,
    total INTEGER NOT NULL,
    -- Its state (JobState in domain/source.rs), and why it is so, or ''.
    state TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    began_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL DEFAULT 0,
    -- Its event `source_sessions_ended`.
    event_id INTEGER NOT NULL,
    lease_holder TEXT NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;
