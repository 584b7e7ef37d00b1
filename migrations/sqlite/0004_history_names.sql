-- The names of ended sessions, as searches compare them.
ALTER TABLE ended_sessions ADD COLUMN username_folded TEXT NOT NULL DEFAULT '';
UPDATE ended_sessions SET username_folded = COALESCE((SELECT u.username_folded FROM users u WHERE u.id = ended_sessions.user_id), username);
CREATE INDEX ended_sessions_by_username ON ended_sessions (username, ended_at);
