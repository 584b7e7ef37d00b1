-- The log of changes to the copy of a watched source, as session_changes is of Rollcall's own sessions: the copy in memory
-- catches up by it. `ids` holds keys of watched_sessions, and the negative primary keys of users of the source.
CREATE TABLE watched_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    ids BLOB NOT NULL
) STRICT;
INSERT INTO watched_changes (ids) VALUES (x'');

-- Users of a source by name.
CREATE INDEX source_users_by_name ON source_users (source_id, username);

-- Ended sessions of a source, in the order of their end.
CREATE INDEX ended_sessions_by_source ON ended_sessions (source_id, ended_at) WHERE source_id IS NOT NULL;
