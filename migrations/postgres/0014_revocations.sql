-- An end of very many sessions first only writes down which they are, and a job then moves them to the
-- ended ones. So `sessions`, which everything reads, are the rows that no revocation names.
ALTER TABLE sessions RENAME TO session_rows;

-- What is kept of an end until its sessions are moved: when, by whom, why, and the request it came with.
CREATE TABLE revocations (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ended_at BIGINT NOT NULL,
    ended_by BIGINT,
    ended_by_name TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    comment TEXT COLLATE "C" NOT NULL,
    ip TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL
);

-- No foreign keys: each would cost a look-up for every session that ends. Keys are never used again, so
-- a row that names no session says nothing.
CREATE TABLE revoked_sessions (
    session_id BIGINT PRIMARY KEY,
    revocation_id BIGINT NOT NULL
);
CREATE INDEX revoked_sessions_by_revocation ON revoked_sessions (revocation_id, session_id);

CREATE VIEW sessions AS
SELECT id, uuid, key_hash, user_id, created_at, last_used_at, expires_at, absolute_expires_at, idle_timeout, last_ip,
    last_ip_key, user_agent_id, country, asn, methods, is_remembered, label, proved_at, is_known_device, proved_ip_key
FROM session_rows
WHERE NOT EXISTS (SELECT 1 FROM revoked_sessions r WHERE r.session_id = session_rows.id);
