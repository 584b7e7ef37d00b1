-- How far the clock of the source is ahead, in microseconds: what it says of times is by that clock.
ALTER TABLE sources ADD COLUMN clock_ahead INTEGER NOT NULL DEFAULT 0;
