-- Clients of OpenID Connect: their secrets, and the codes and tokens that hang on sessions. Each code and each token names
-- the row of one session; a token also its app session, and goes with it.

-- The secrets of confidential clients, as SHA-256. Two may be good at a time.
CREATE TABLE client_secrets (
    hash BYTEA NOT NULL PRIMARY KEY,
    provider_id BIGINT NOT NULL REFERENCES providers ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    -- NULL: until it is removed.
    expires_at BIGINT
);
CREATE INDEX client_secrets_by_provider ON client_secrets (provider_id);

-- A code is redeemed once, within a minute. It stays with what it gave while its session lives, so that a second use is
-- recognised at any later time.
CREATE TABLE oidc_codes (
    hash BYTEA NOT NULL PRIMARY KEY,
    session_id BIGINT NOT NULL REFERENCES session_rows ON DELETE CASCADE,
    provider_id BIGINT NOT NULL REFERENCES providers ON DELETE CASCADE,
    -- JSON: the address, challenge, nonce, scopes, and what the session had proved (domain/oidc/grant.rs).
    request TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    -- What it gave: the family of tokens.
    family BYTEA
);
CREATE INDEX oidc_codes_by_session ON oidc_codes (session_id);
CREATE INDEX oidc_codes_by_provider ON oidc_codes (provider_id);

-- Access tokens and refresh tokens. Those that follow each other from one code are a family.
CREATE TABLE oidc_tokens (
    hash BYTEA NOT NULL PRIMARY KEY,
    -- access or refresh.
    kind TEXT COLLATE "C" NOT NULL,
    app_session_id BIGINT NOT NULL REFERENCES app_sessions ON DELETE CASCADE,
    session_id BIGINT NOT NULL REFERENCES session_rows,
    provider_id BIGINT NOT NULL REFERENCES providers ON DELETE CASCADE,
    family BYTEA NOT NULL,
    -- Of refresh tokens: their number in the family, from 1.
    generation BIGINT NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    -- JSON: what the ID token says of the proof.
    proof TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- When a refresh token was rotated, and its successor, sealed for the holder of this one.
    rotated_at BIGINT,
    successor BYTEA
);
CREATE INDEX oidc_tokens_by_family ON oidc_tokens (family, kind, generation);
CREATE INDEX oidc_tokens_by_app_session ON oidc_tokens (app_session_id);
CREATE INDEX oidc_tokens_by_session ON oidc_tokens (session_id);
CREATE INDEX oidc_tokens_by_provider ON oidc_tokens (provider_id);
CREATE INDEX oidc_tokens_by_expiry ON oidc_tokens (expires_at);
