-- When a user asked to be removed; null: they did not. An administrator decides, or the user takes it back.
ALTER TABLE users ADD COLUMN removal_asked_at BIGINT;
CREATE INDEX users_to_remove ON users (removal_asked_at) WHERE removal_asked_at IS NOT NULL;
