-- Pages about one session, and lists of one kind of event, the latest first.
CREATE INDEX events_by_session ON events (session_uuid, id);
CREATE INDEX events_by_kind ON events (kind, id);
