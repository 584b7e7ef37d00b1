-- Sign-ins of devices without a browser (RFC 8628): they are over after ten minutes.
CREATE TABLE device_codes (
    -- SHA-256 of the device's code.
    hash BLOB NOT NULL PRIMARY KEY,
    -- The code that people type, hashed with the instance key.
    user_code BLOB NOT NULL UNIQUE,
    provider_id INTEGER NOT NULL REFERENCES providers ON DELETE CASCADE,
    scope TEXT NOT NULL,
    -- Where the device is: its address and its user agent.
    ip TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    -- How long the device waits between two questions, in seconds, and when it asked last.
    pause INTEGER NOT NULL,
    polled_at INTEGER,
    -- The session of the user who allowed it; with that session it goes.
    session_id INTEGER REFERENCES session_rows ON DELETE CASCADE,
    -- '', allowed, declined or used.
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX device_codes_by_provider ON device_codes (provider_id);
CREATE INDEX device_codes_by_session ON device_codes (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX device_codes_by_expiry ON device_codes (expires_at);
