-- What a user is called towards authenticators: random, so that it says nothing of them.
CREATE TABLE user_handles (
    user_id INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    handle BLOB NOT NULL UNIQUE
) STRICT;

-- Challenges that were answered rightly, until they are over: each serves once.
CREATE TABLE used_challenges (
    challenge_hash BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_challenges_by_expiry ON used_challenges (expires_at);
