-- Events by filter in the order of time, so that a page of any filter reads no more than its rows.
CREATE INDEX events_by_kind_time ON events (kind, at, id);
CREATE INDEX events_by_actor_time ON events (actor, at, id) WHERE actor_uuid IS NOT NULL;
CREATE INDEX events_by_ip_time ON events (ip, at, id) WHERE ip <> '';
-- The names that sign-ins failed with.
CREATE INDEX events_failed_by_name ON events (username, at, id)
    WHERE kind IN ('sign_in_failed', 'sign_in_refused', 'factor_failed');
CREATE INDEX events_by_application ON events (application, at, id) WHERE application <> '';
