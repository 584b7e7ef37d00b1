-- Tokens of apps have numbers, by which the API names them. SQLite cannot add a primary key, so the rows go to a table of the
-- same name, by way of one that lives for this migration. (Its name is no table of the schema: hence the small letters.)
create temporary table tokens_before as SELECT * FROM oidc_tokens;
DROP TABLE oidc_tokens;

-- Access tokens and refresh tokens. Those that follow each other from one code are a family.
CREATE TABLE oidc_tokens (
    -- authentik's API shows it as the token's `pk`.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    -- access or refresh.
    kind TEXT NOT NULL,
    app_session_id INTEGER NOT NULL REFERENCES app_sessions ON DELETE CASCADE,
    session_id INTEGER NOT NULL REFERENCES session_rows,
    provider_id INTEGER NOT NULL REFERENCES providers ON DELETE CASCADE,
    family BLOB NOT NULL,
    -- Of refresh tokens: their number in the family, from 1.
    generation INTEGER NOT NULL,
    scope TEXT NOT NULL,
    -- JSON: what the ID token says of the proof.
    proof TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- When a refresh token was rotated, and its successor, sealed for the holder of this one.
    rotated_at INTEGER,
    successor BLOB
) STRICT;
CREATE INDEX oidc_tokens_by_family ON oidc_tokens (family, kind, generation);
CREATE INDEX oidc_tokens_by_app_session ON oidc_tokens (app_session_id);
CREATE INDEX oidc_tokens_by_session ON oidc_tokens (session_id);
CREATE INDEX oidc_tokens_by_provider ON oidc_tokens (provider_id, kind, id);
CREATE INDEX oidc_tokens_by_expiry ON oidc_tokens (expires_at);

INSERT INTO oidc_tokens (hash, kind, app_session_id, session_id, provider_id, family, generation, scope, proof, created_at,
    expires_at, rotated_at, successor)
SELECT hash, kind, app_session_id, session_id, provider_id, family, generation, scope, proof, created_at, expires_at, rotated_at,
    successor FROM tokens_before ORDER BY created_at;
drop table tokens_before;
