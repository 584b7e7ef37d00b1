-- Keys that sign what apps check by themselves, one set for all applications. What a key does at a moment follows from
-- the two instants (domain/signing/times.rs).
CREATE TABLE signing_keys (
    -- The key's thumbprint (RFC 7638).
    kid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- RS256 or ES256.
    algorithm TEXT COLLATE "C" NOT NULL,
    -- The public half, as JSON (RFC 7517).
    public_key TEXT NOT NULL,
    -- The private half, sealed with the instance key.
    sealed BYTEA NOT NULL,
    -- From when it is published, and from when it signs.
    created_at BIGINT NOT NULL,
    signs_at BIGINT NOT NULL
);

-- Raised by each change of the keys; nodes read them again when it differs.
INSERT INTO settings (name, value) VALUES ('keys.version', '1');
