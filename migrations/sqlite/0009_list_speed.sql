-- Events about a user come in the order of time, as all other lists of events do.
DROP INDEX events_by_user;
CREATE INDEX events_by_user ON events (user_uuid, at);

-- The order of users by their attributes. The first 200 characters decide, as for names and paths.
CREATE INDEX users_by_attributes ON users (substr(attributes, 1, 200), id);
