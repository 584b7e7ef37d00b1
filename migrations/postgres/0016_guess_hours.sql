-- Limits are forgotten by the hour in which they were as good as new. An index on the moment itself
-- was written with each guess, and kept PostgreSQL from writing a row anew in its page.
ALTER TABLE guess_limits ADD COLUMN full_hour BIGINT GENERATED ALWAYS AS (full_at / 3600000000) STORED;
DROP INDEX guess_limits_by_time;
CREATE INDEX guess_limits_by_hour ON guess_limits (full_hour);
ALTER TABLE guess_limits SET (fillfactor = 50);
