-- What a user is called towards authenticators: random, so that it says nothing of them.
CREATE TABLE user_handles (
    user_id BIGINT PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    handle BYTEA NOT NULL UNIQUE
);

-- Challenges that were answered rightly, until they are over: each serves once.
CREATE TABLE used_challenges (
    challenge_hash BYTEA PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX used_challenges_by_expiry ON used_challenges (expires_at);
