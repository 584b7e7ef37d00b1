-- Applications: what people open through Rollcall. An application has an access rule and at most one guard
-- (for a reverse proxy) and one client (for OpenID Connect); both are rows of `providers`.
--
-- A node of an earlier version may run on the same database until the first application is added. From then on
-- it cannot end a session that has an app session, since the foreign key refuses it: upgrade all nodes first.

CREATE TABLE applications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    -- JSON, typed by domain/application: the demand and its bindings, what is shown, which groups an app is told.
    access TEXT NOT NULL,
    display TEXT NOT NULL,
    groups_sent TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
-- A slug is unique regardless of its case.
CREATE UNIQUE INDEX applications_by_slug ON applications (lower(slug));

CREATE TABLE providers (
    -- authentik's API shows it as the provider's `pk`.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- guard or client.
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    application_id INTEGER REFERENCES applications ON DELETE SET NULL,
    client_id TEXT UNIQUE,
    -- JSON: what the part does (domain/application/guard.rs), and what authentik's API stores and gives back.
    settings TEXT NOT NULL,
    kept TEXT NOT NULL,
    UNIQUE (application_id, kind)
) STRICT;

-- The hosts of guards. A host belongs to one guard.
CREATE TABLE app_hosts (
    host TEXT PRIMARY KEY,
    provider_id INTEGER NOT NULL REFERENCES providers ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX app_hosts_by_provider ON app_hosts (provider_id);

-- One row for each session and application. The foreign key to `session_rows` does not cascade: code that
-- deletes a session without ending its app sessions fails. `slug` and `name` are those of the application
-- when the app session began; `hosts` is a JSON list of the guarded hosts that were opened.
CREATE TABLE app_sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    session_id INTEGER NOT NULL REFERENCES session_rows,
    application_id INTEGER NOT NULL REFERENCES applications,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    hosts TEXT NOT NULL,
    client_id TEXT,
    -- Who the app takes the user for: `uid` for a guard.
    sub TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    UNIQUE (session_id, application_id)
) STRICT;
CREATE INDEX app_sessions_by_application ON app_sessions (application_id, id);

-- The applications that an app password opens.
CREATE TABLE token_applications (
    token_id INTEGER NOT NULL REFERENCES tokens ON DELETE CASCADE,
    application_id INTEGER NOT NULL REFERENCES applications ON DELETE CASCADE,
    PRIMARY KEY (token_id, application_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX token_applications_by_application ON token_applications (application_id);

-- The app sessions that a session had when it ended, as JSON (domain/application/session.rs).
ALTER TABLE ended_sessions ADD COLUMN applications TEXT NOT NULL DEFAULT '[]';

-- Raised by each change of an application; nodes read their cache of applications again when it differs.
INSERT INTO settings (name, value) VALUES ('applications.version', '1');
