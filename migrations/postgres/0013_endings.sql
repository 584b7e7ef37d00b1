-- Ends of many sessions that were begun from a page, for a day: how far they are, on every node.
CREATE TABLE endings (
    name TEXT COLLATE "C" PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users ON DELETE CASCADE,
    began_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    total BIGINT NOT NULL,
    comment TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    ended BIGINT NOT NULL,
    remaining BIGINT NOT NULL
);
CREATE INDEX endings_by_user ON endings (user_id);
CREATE INDEX endings_by_time ON endings (began_at);
