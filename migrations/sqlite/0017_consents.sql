-- What users agreed to: that an app gets what these scopes give. A consent is good for the type and the addresses that the
-- client had then.
CREATE TABLE consents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    provider_id INTEGER NOT NULL REFERENCES providers ON DELETE CASCADE,
    scope TEXT NOT NULL,
    -- SHA-256 of the client's type and addresses (domain/oidc/consent.rs).
    terms BLOB NOT NULL,
    given_at INTEGER NOT NULL,
    UNIQUE (user_id, provider_id)
) STRICT;
CREATE INDEX consents_by_provider ON consents (provider_id);
