-- Back-channel logout: apps are told that a session of theirs ended.

-- Where the app of a client is told, and how. A client without such an address has no row.
CREATE TABLE back_channels (
    provider_id INTEGER PRIMARY KEY REFERENCES providers ON DELETE CASCADE,
    uri TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    names TEXT NOT NULL
) STRICT;

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
    session_uuid BLOB NOT NULL,
    -- Whether the session ended with very many others: single ends go first.
    is_bulk INTEGER NOT NULL,
    -- waiting, delivered, given_up or dropped.
    state TEXT NOT NULL DEFAULT 'waiting',
    -- When the app session ended. The transaction that ends it sets it last; others never see 0.
    owed_at INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    -- From when on it is tried for as long as the settings say; 0: it was not tried yet.
    first_at INTEGER NOT NULL DEFAULT 0,
    -- When it is tried next. A try moves this on, so that no other node tries at the same time.
    next_at INTEGER NOT NULL DEFAULT 0,
    -- Until when the node that sends it has it; 0: none does.
    leased_until INTEGER NOT NULL DEFAULT 0,
    -- When it was delivered, given up or dropped.
    settled_at INTEGER,
    -- What the last try came to, in words.
    said TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX logout_notices_owed ON logout_notices (state, owed_at);
CREATE INDEX logout_notices_waiting ON logout_notices (application_id, is_bulk, next_at, id) WHERE state = 'waiting';
CREATE INDEX logout_notices_sending ON logout_notices (application_id, leased_until) WHERE leased_until > 0;
CREATE INDEX logout_notices_by_application ON logout_notices (application_id, state, settled_at);
CREATE INDEX logout_notices_settled ON logout_notices (state, settled_at);
CREATE INDEX logout_notices_by_session ON logout_notices (session_uuid);

-- How an app was reached last, and what it got of its share. The key is of a row that may be gone.
CREATE TABLE notice_lines (
    application_id INTEGER PRIMARY KEY,
    -- Failures to connect in a row; from the fifth on the app is unreachable.
    failures INTEGER NOT NULL DEFAULT 0,
    -- Until when an unreachable app is left alone.
    rests_until INTEGER NOT NULL DEFAULT 0,
    -- The second in which it was sent to last, and how often in that second.
    second_at INTEGER NOT NULL DEFAULT 0,
    in_second INTEGER NOT NULL DEFAULT 0,
    -- When it was last told, and when a try last failed; 0: never.
    told_at INTEGER NOT NULL DEFAULT 0,
    failed_at INTEGER NOT NULL DEFAULT 0,
    -- What that try came to, in words.
    failed TEXT NOT NULL DEFAULT ''
) STRICT;

-- The transaction that ends an app session owes the notice, whatever ends it. The row of its session is still there.
CREATE TRIGGER owe_logout_notice AFTER DELETE ON app_sessions WHEN OLD.client_id IS NOT NULL BEGIN
    INSERT INTO logout_notices (uuid, application_id, slug, client_id, uri, algorithm, names, user_id, sub, session_uuid, is_bulk)
    SELECT OLD.uuid, OLD.application_id, a.slug, COALESCE(p.client_id, OLD.client_id), b.uri, b.algorithm, b.names, s.user_id, OLD.sub, s.uuid,
        EXISTS (SELECT 1 FROM pending_end_sessions e WHERE e.session_id = OLD.session_id)
    FROM providers p JOIN back_channels b ON b.provider_id = p.id JOIN applications a ON a.id = p.application_id
        JOIN session_rows s ON s.id = OLD.session_id
    WHERE p.application_id = OLD.application_id AND p.kind = 'client';
END;
