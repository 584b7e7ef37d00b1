-- What groups and users have of their own, in microseconds; what is null is not set.
CREATE TABLE user_policies (
    user_id BIGINT PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    idle_timeout BIGINT,
    absolute_timeout BIGINT,
    remember_timeout BIGINT,
    max_sessions BIGINT,
    at_limit TEXT COLLATE "C"
);
CREATE TABLE group_policies (
    group_id BIGINT PRIMARY KEY REFERENCES groups ON DELETE CASCADE,
    idle_timeout BIGINT,
    absolute_timeout BIGINT,
    remember_timeout BIGINT,
    max_sessions BIGINT,
    at_limit TEXT COLLATE "C"
);

-- When its user last proved who they are; 0: never here.
ALTER TABLE sessions ADD COLUMN proved_at BIGINT NOT NULL DEFAULT 0;
UPDATE sessions SET proved_at = created_at WHERE methods <> '';
