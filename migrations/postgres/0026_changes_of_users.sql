-- Changes of a user, without the sign-ins and ends, which may be ten thousands. The kinds are those of
-- `CHANGES_OF_USERS` in src/store/events/query.rs.
CREATE INDEX events_of_users ON events (user_uuid, at, id) WHERE kind IN ('policy_set', 'user_activated', 'user_added', 'user_changed', 'user_deactivated', 'user_erased', 'user_removed');
