-- What lists of ended sessions and searches of users are answered from.
--
-- Ended sessions are listed by the time of their end, then by key: a page of any single filter is read from
-- one index, and the next page begins where it stopped.
DROP INDEX ended_sessions_by_end;
CREATE INDEX ended_sessions_by_end ON ended_sessions (ended_at, id);
DROP INDEX ended_sessions_by_user;
CREATE INDEX ended_sessions_by_user ON ended_sessions (user_uuid, ended_at, id);
DROP INDEX ended_sessions_by_user_agent;
CREATE INDEX ended_sessions_by_user_agent ON ended_sessions (user_agent_id, ended_at, id);
DROP INDEX ended_sessions_by_last_ip;
CREATE INDEX ended_sessions_by_last_ip ON ended_sessions (last_ip_key, ended_at, id);
DROP INDEX ended_sessions_by_username;
CREATE INDEX ended_sessions_by_username ON ended_sessions (username, ended_at, id);
CREATE INDEX ended_sessions_by_reason ON ended_sessions (reason, ended_at, id);
CREATE INDEX ended_sessions_by_actor ON ended_sessions (ended_by_name, ended_at, id);
CREATE INDEX ended_sessions_by_country ON ended_sessions (country, ended_at, id);
CREATE INDEX ended_sessions_by_network ON ended_sessions (asn, ended_at, id) WHERE asn IS NOT NULL;
CREATE INDEX ended_sessions_by_last_use ON ended_sessions (last_used_at, ended_at, id);

-- Events of `cli` and `system`, who are no users, by time too.
DROP INDEX events_by_actor_time;
CREATE INDEX events_by_actor_time ON events (actor, at, id);
-- Pages list whole events by time, so that a span of days reads no more than its rows.
DROP INDEX events_whole;
CREATE INDEX events_whole ON events (at, id) WHERE parent_id IS NULL;

-- The names in ended sessions whose users have another name now, or are gone: a search looks through these
-- and the names of users, not through all ended sessions.
CREATE TABLE former_names (
    user_uuid UUID NOT NULL,
    username TEXT COLLATE "C" NOT NULL,
    username_folded TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (user_uuid, username)
);
INSERT INTO former_names (user_uuid, username, username_folded)
SELECT DISTINCT s.user_uuid, s.username, s.username_folded FROM ended_sessions s
WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.uuid = s.user_uuid AND u.username = s.username);

-- Which users changed their texts, in the order of the changes: the texts of users in memory catch up by it.
-- The lock of the row in `row_counts` keeps transactions in that order.
CREATE TABLE user_changes (
    user_uuid UUID PRIMARY KEY,
    seq BIGINT NOT NULL
);
CREATE INDEX user_changes_by_seq ON user_changes (seq);
INSERT INTO row_counts (name, n) VALUES ('user_changes', 0);
CREATE FUNCTION note_user_changes(changed UUID[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    newest BIGINT;
BEGIN
    IF cardinality(changed) > 0 THEN
        UPDATE row_counts SET n = n + 1 WHERE name = 'user_changes' RETURNING n INTO newest;
        INSERT INTO user_changes (user_uuid, seq) SELECT DISTINCT it, newest FROM unnest(changed) AS it
            ON CONFLICT (user_uuid) DO UPDATE SET seq = excluded.seq;
    END IF;
END $$;
CREATE FUNCTION note_added_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM note_user_changes(ARRAY(SELECT uuid FROM added));
    RETURN NULL;
END $$;
CREATE TRIGGER note_added_users AFTER INSERT ON users REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION note_added_users();
-- A trigger with a list of columns has no transition tables, so this one runs for each row.
CREATE FUNCTION note_changed_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.username <> NEW.username THEN
        INSERT INTO former_names (user_uuid, username, username_folded)
            VALUES (OLD.uuid, OLD.username, OLD.username_folded) ON CONFLICT DO NOTHING;
    END IF;
    PERFORM note_user_changes(ARRAY[NEW.uuid]);
    RETURN NULL;
END $$;
CREATE TRIGGER note_changed_user AFTER UPDATE OF username, username_folded, email_folded, name, name_folded ON users
    FOR EACH ROW WHEN (OLD.username <> NEW.username OR OLD.username_folded <> NEW.username_folded
        OR OLD.email_folded <> NEW.email_folded OR OLD.name <> NEW.name OR OLD.name_folded IS DISTINCT FROM NEW.name_folded)
    EXECUTE FUNCTION note_changed_user();
CREATE FUNCTION note_removed_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO former_names (user_uuid, username, username_folded)
        SELECT uuid, username, username_folded FROM removed ON CONFLICT DO NOTHING;
    PERFORM note_user_changes(ARRAY(SELECT uuid FROM removed));
    RETURN NULL;
END $$;
CREATE TRIGGER note_removed_users AFTER DELETE ON users REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION note_removed_users();
CREATE FUNCTION note_forgotten_names() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM note_user_changes(ARRAY(SELECT user_uuid FROM forgotten));
    RETURN NULL;
END $$;
CREATE TRIGGER note_forgotten_names AFTER DELETE ON former_names REFERENCING OLD TABLE AS forgotten
    FOR EACH STATEMENT EXECUTE FUNCTION note_forgotten_names();
