-- What lists of ended sessions and searches of users are answered from.
--
-- Ended sessions are listed by the time of their end, then by key (the last column of each of SQLite's
-- indexes): a page of any single filter is read from one index, and the next page begins where it stopped.
DROP INDEX ended_sessions_by_end;
CREATE INDEX ended_sessions_by_end ON ended_sessions (ended_at);
DROP INDEX ended_sessions_by_user_agent;
CREATE INDEX ended_sessions_by_user_agent ON ended_sessions (user_agent_id, ended_at);
CREATE INDEX ended_sessions_by_reason ON ended_sessions (reason, ended_at);
CREATE INDEX ended_sessions_by_actor ON ended_sessions (ended_by_name, ended_at);
CREATE INDEX ended_sessions_by_country ON ended_sessions (country, ended_at);
CREATE INDEX ended_sessions_by_network ON ended_sessions (asn, ended_at) WHERE asn IS NOT NULL;
CREATE INDEX ended_sessions_by_last_use ON ended_sessions (last_used_at, ended_at);

-- Events of `cli` and `system`, who are no users, by time too.
DROP INDEX events_by_actor_time;
CREATE INDEX events_by_actor_time ON events (actor, at);
-- Pages list whole events by time, so that a span of days reads no more than its rows.
DROP INDEX events_whole;
CREATE INDEX events_whole ON events (at) WHERE parent_id IS NULL;

-- The names in ended sessions whose users have another name now, or are gone: a search looks through these
-- and the names of users, not through all ended sessions.
CREATE TABLE former_names (
    user_uuid BLOB NOT NULL,
    username TEXT NOT NULL,
    username_folded TEXT NOT NULL,
    PRIMARY KEY (user_uuid, username)
) STRICT, WITHOUT ROWID;
INSERT INTO former_names (user_uuid, username, username_folded)
SELECT DISTINCT s.user_uuid, s.username, s.username_folded FROM ended_sessions s
WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.uuid = s.user_uuid AND u.username = s.username);

-- Which users changed their texts, in the order of the changes: the texts of users in memory catch up by it.
CREATE TABLE user_changes (
    user_uuid BLOB PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX user_changes_by_seq ON user_changes (seq);
INSERT INTO row_counts (name, n) VALUES ('user_changes', 0);
CREATE TRIGGER note_added_user AFTER INSERT ON users BEGIN
    UPDATE row_counts SET n = n + 1 WHERE name = 'user_changes';
    INSERT INTO user_changes (user_uuid, seq) SELECT NEW.uuid, n FROM row_counts WHERE name = 'user_changes'
        ON CONFLICT (user_uuid) DO UPDATE SET seq = excluded.seq;
END;
CREATE TRIGGER note_changed_user AFTER UPDATE OF username, username_folded, email_folded, name, name_folded ON users
    WHEN OLD.username <> NEW.username OR OLD.username_folded <> NEW.username_folded OR OLD.email_folded <> NEW.email_folded
        OR OLD.name <> NEW.name OR OLD.name_folded IS NOT NEW.name_folded
BEGIN
    INSERT INTO former_names (user_uuid, username, username_folded)
        SELECT OLD.uuid, OLD.username, OLD.username_folded WHERE OLD.username <> NEW.username ON CONFLICT DO NOTHING;
    UPDATE row_counts SET n = n + 1 WHERE name = 'user_changes';
    INSERT INTO user_changes (user_uuid, seq) SELECT NEW.uuid, n FROM row_counts WHERE name = 'user_changes'
        ON CONFLICT (user_uuid) DO UPDATE SET seq = excluded.seq;
END;
CREATE TRIGGER note_removed_user AFTER DELETE ON users BEGIN
    INSERT INTO former_names (user_uuid, username, username_folded)
        VALUES (OLD.uuid, OLD.username, OLD.username_folded) ON CONFLICT DO NOTHING;
    UPDATE row_counts SET n = n + 1 WHERE name = 'user_changes';
    INSERT INTO user_changes (user_uuid, seq) SELECT OLD.uuid, n FROM row_counts WHERE name = 'user_changes'
        ON CONFLICT (user_uuid) DO UPDATE SET seq = excluded.seq;
END;
CREATE TRIGGER note_forgotten_name AFTER DELETE ON former_names BEGIN
    UPDATE row_counts SET n = n + 1 WHERE name = 'user_changes';
    INSERT INTO user_changes (user_uuid, seq) SELECT OLD.user_uuid, n FROM row_counts WHERE name = 'user_changes'
        ON CONFLICT (user_uuid) DO UPDATE SET seq = excluded.seq;
END;
