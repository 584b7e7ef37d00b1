-- Limits are forgotten by the hour in which they were as good as new. An index on the moment itself
-- was written with each guess.
ALTER TABLE guess_limits ADD COLUMN full_hour INTEGER GENERATED ALWAYS AS (full_at / 3600000000) VIRTUAL;
DROP INDEX guess_limits_by_time;
CREATE INDEX guess_limits_by_hour ON guess_limits (full_hour);
