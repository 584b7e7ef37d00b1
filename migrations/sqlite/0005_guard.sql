-- The keys that guarded hosts' cookies hold, stored hashed. A key opens its application on its host while its
-- session is live.
CREATE TABLE app_keys (
    hash BLOB NOT NULL PRIMARY KEY,
    app_session_id INTEGER NOT NULL REFERENCES app_sessions ON DELETE CASCADE,
    -- That of the app session, so that a check of a key joins one table less.
    session_id INTEGER NOT NULL REFERENCES session_rows,
    host TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX app_keys_by_app_session ON app_keys (app_session_id, host, created_at);
CREATE INDEX app_keys_by_session ON app_keys (session_id);

-- A ticket carries a sign-in to an application's host: once, within a minute.
CREATE TABLE tickets (
    hash BLOB NOT NULL PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES session_rows ON DELETE CASCADE,
    application_id INTEGER NOT NULL REFERENCES applications ON DELETE CASCADE,
    host TEXT NOT NULL,
    -- The hash of the start cookie of the browser that asked for it.
    flow_hash BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tickets_by_session ON tickets (session_id);
CREATE INDEX tickets_by_application ON tickets (application_id);
CREATE INDEX tickets_by_expiry ON tickets (expires_at);
