-- How many other instances of authentik the source was before: behind another one, the same numbers are other users
-- (docs/watch.md).
ALTER TABLE sources ADD COLUMN instance INTEGER NOT NULL DEFAULT 0;
-- When the next end of a job may be sent, and when a job last asked for that; 0: at any time, never.
ALTER TABLE sources ADD COLUMN next_end_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN paced_at INTEGER NOT NULL DEFAULT 0;

-- What a sign-in in the event log of the source says of a session, where one fits: when it was (0: none fits), by what, in
-- authentik's word, and whether the device was known ('yes', 'no', '': it does not say).
ALTER TABLE watched_sessions ADD COLUMN signed_in_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE watched_sessions ADD COLUMN method TEXT NOT NULL DEFAULT '';
ALTER TABLE watched_sessions ADD COLUMN known_device TEXT NOT NULL DEFAULT '';
