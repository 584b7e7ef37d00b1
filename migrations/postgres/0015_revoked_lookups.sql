-- The planner made a join of `NOT EXISTS`, which looked at the (mostly empty) table of revoked sessions
-- for every row, or passed over all of it for every row where it was planned while that was empty. So: one
-- look at the revocations for a whole statement, and a look-up by key for each row only while there are any.
CREATE OR REPLACE VIEW sessions AS
SELECT id, uuid, key_hash, user_id, created_at, last_used_at, expires_at, absolute_expires_at, idle_timeout, last_ip,
    last_ip_key, user_agent_id, country, asn, methods, is_remembered, label, proved_at, is_known_device, proved_ip_key
FROM session_rows
WHERE NOT EXISTS (SELECT 1 FROM revocations)
    OR (SELECT r.session_id FROM revoked_sessions r WHERE r.session_id = session_rows.id) IS NULL;
