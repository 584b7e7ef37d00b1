-- Sessions that were last used, or expire, at the same moment are listed by name, the newest moment first. An
-- ascending index read backwards gives the names backwards, too: all of one moment had to be read and sorted.
-- Built before the old ones are dropped, which keeps readers out.
CREATE INDEX sessions_by_last_used_newest ON session_rows (last_used_at DESC, uuid);
CREATE INDEX sessions_by_expiry_newest ON session_rows (expires_at DESC, uuid);
DROP INDEX sessions_by_last_used;
DROP INDEX sessions_by_expiry;
ALTER INDEX sessions_by_last_used_newest RENAME TO sessions_by_last_used;
ALTER INDEX sessions_by_expiry_newest RENAME TO sessions_by_expiry;
