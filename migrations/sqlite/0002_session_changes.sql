-- Which sessions changed, in the order of the changes: what is kept in memory of sessions catches up
-- by it. `ids` holds their keys, 8 bytes each, little-endian. There is always a row; one that was
-- read and is gone means: read everything anew.
CREATE TABLE session_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    ids BLOB NOT NULL
) STRICT;
INSERT INTO session_changes (ids) VALUES (x'');
