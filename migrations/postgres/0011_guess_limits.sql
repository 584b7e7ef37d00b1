-- How far each limit on guesses is used up: by account, known device, address, and in all. `key` is a
-- keyed hash of what is limited; `full_at` is when it is as good as new, in microseconds since 1970.
CREATE TABLE guess_limits (
    key BYTEA PRIMARY KEY,
    full_at BIGINT NOT NULL,
    -- Whether it was hit, and an event says so, since it was as good as new.
    is_told BOOLEAN NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX guess_limits_by_time ON guess_limits (full_at);
