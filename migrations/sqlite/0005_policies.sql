-- What groups and users have of their own, in microseconds; what is null is not set.
CREATE TABLE user_policies (
    user_id INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    idle_timeout INTEGER,
    absolute_timeout INTEGER,
    remember_timeout INTEGER,
    max_sessions INTEGER,
    at_limit TEXT
) STRICT;
CREATE TABLE group_policies (
    group_id INTEGER PRIMARY KEY REFERENCES groups ON DELETE CASCADE,
    idle_timeout INTEGER,
    absolute_timeout INTEGER,
    remember_timeout INTEGER,
    max_sessions INTEGER,
    at_limit TEXT
) STRICT;

-- When its user last proved who they are; 0: never here.
ALTER TABLE sessions ADD COLUMN proved_at INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET proved_at = created_at WHERE methods <> '';
