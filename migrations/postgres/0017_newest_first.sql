-- Sessions that were last used, or expire, at the same moment are listed by name, the newest moment first. An
-- ascending index read backwards gives the names backwards, too: all of one moment had to be read and sorted.
DROP INDEX sessions_by_last_used;
CREATE INDEX sessions_by_last_used ON session_rows (last_used_at DESC, uuid);
DROP INDEX sessions_by_expiry;
CREATE INDEX sessions_by_expiry ON session_rows (expires_at DESC, uuid);
