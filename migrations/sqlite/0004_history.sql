-- Ended sessions are listed: why they ended in the words of whoever ended them, indexes for what is
-- asked most, and how many there are in all and for each user.
ALTER TABLE ended_sessions ADD COLUMN comment TEXT NOT NULL DEFAULT '';
CREATE INDEX ended_sessions_by_last_ip ON ended_sessions (last_ip_key, ended_at);
INSERT INTO session_counts (kind, key, slot, n) SELECT 'ended', '', 0, count(*) FROM ended_sessions;
INSERT INTO session_counts (kind, key, slot, n)
    SELECT 'ended_user', CAST(user_id AS TEXT), 0, count(*) FROM ended_sessions GROUP BY user_id;
