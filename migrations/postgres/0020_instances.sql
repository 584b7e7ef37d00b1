-- How many other instances of authentik the source was before: behind another one, the same numbers are other users
-- (docs/watch.md).
ALTER TABLE sources ADD COLUMN instance BIGINT NOT NULL DEFAULT 0;
-- When the next end of a job may be sent, and when a job last asked for that; 0: at any time, never.
ALTER TABLE sources ADD COLUMN next_end_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN paced_at BIGINT NOT NULL DEFAULT 0;
