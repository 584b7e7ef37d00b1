-- Back-channel logout: apps are told that a session of theirs ended.

-- Where the app of a client is told, and how. A client without such an address has no row.
CREATE TABLE back_channels (
    provider_id INTEGER PRIMARY KEY REFERENCES providers ON DELETE CASCADE,
    application_id INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    uri TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    names TEXT NOT NULL
) STRICT;
CREATE INDEX back_channels_by_application ON back_channels (application_id);

-- What apps are owed, and what became of it. A row has all that is needed to send it: client, application, session and user
-- may be gone. The keys are of rows that may be gone, too, so there are no foreign keys.
CREATE TABLE logout_notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The uuid of the app session.
    uuid BLOB NOT NULL UNIQUE,
    application_id INTEGER NOT NULL,
    slug TEXT NOT NULL,
    client_id TEXT NOT NULL,
    uri TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    names TEXT NOT NULL,
    user_id INTEGER NOT NULL,
    -- Who the app takes the user for; empty once it is not needed any more.
    sub TEXT NOT NULL,
    -- The uuid of the session.
    session BLOB NOT NULL,
    -- Whether the session ended with very many others: single ends go first.
    is_bulk INTEGER NOT NULL,
    -- waiting, delivered, given_up or dropped.
    state TEXT NOT NULL DEFAULT 'waiting',
    tries INTEGER NOT NULL DEFAULT 0,
    -- When it was first tried; 0: never.
    first_at INTEGER NOT NULL DEFAULT 0,
    -- When it is tried next. A try moves this on, so that no other node tries at the same time.
    next_at INTEGER NOT NULL DEFAULT 0,
    -- When it was delivered, given up or dropped.
    settled_at INTEGER,
    -- What the last try came to, in words.
    said TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX logout_notices_waiting ON logout_notices (application_id, is_bulk, next_at, id) WHERE state = 'waiting';
CREATE INDEX logout_notices_settled ON logout_notices (state, settled_at);
CREATE INDEX logout_notices_by_session ON logout_notices (session);

-- The transaction that ends an app session owes the notice, whatever ends it. The row of its session is still there.
CREATE TRIGGER owe_logout_notice AFTER DELETE ON app_sessions WHEN OLD.client_id IS NOT NULL BEGIN
    INSERT INTO logout_notices (uuid, application_id, slug, client_id, uri, algorithm, names, user_id, sub, session, is_bulk)
    SELECT OLD.uuid, OLD.application_id, a.slug, b.client_id, b.uri, b.algorithm, b.names, s.user_id, OLD.sub, s.uuid,
        EXISTS (SELECT 1 FROM pending_end_sessions p WHERE p.session_id = OLD.session_id)
    FROM back_channels b JOIN applications a ON a.id = b.application_id JOIN session_rows s ON s.id = OLD.session_id
    WHERE b.application_id = OLD.application_id;
END;
