-- Ends of many sessions that were begun from a page, for a day: how far they are, on every node.
CREATE TABLE endings (
    name TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    began_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    total INTEGER NOT NULL,
    comment TEXT NOT NULL,
    state TEXT NOT NULL,
    ended INTEGER NOT NULL,
    remaining INTEGER NOT NULL
) STRICT;
CREATE INDEX endings_by_user ON endings (user_id);
CREATE INDEX endings_by_time ON endings (began_at);
