-- Ends of many sessions of a source: a job, whose sessions are in asked_ends.

-- The user at the source (0: not known). The job that it is one of, and the event that its event is a part of; null: none.
ALTER TABLE asked_ends ADD COLUMN user_pk INTEGER NOT NULL DEFAULT 0;
ALTER TABLE asked_ends ADD COLUMN job_id INTEGER;
ALTER TABLE asked_ends ADD COLUMN event_id INTEGER;
CREATE INDEX asked_ends_by_job ON asked_ends (job_id, state);

-- Any node continues a job whose lease is over.
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

-- Whether the user may do everything at the source: alerts tell of new devices of these.
ALTER TABLE source_users ADD COLUMN is_superuser INTEGER NOT NULL DEFAULT 0;
