-- Events about a user come in the order of time, as all other lists of events do.
DROP INDEX events_by_user;
CREATE INDEX events_by_user ON events (user_uuid, at, id);
-- Pages read keys from an index alone: with the key, and with whether the actor was a user.
DROP INDEX events_by_time;
CREATE INDEX events_by_time ON events (at, id);
DROP INDEX events_by_actor_time;
CREATE INDEX events_by_actor_time ON events (actor, at, id) INCLUDE (actor_uuid);

-- The order of users by their attributes. The first 200 characters decide, as for names and paths.
CREATE INDEX users_by_attributes ON users (substr(attributes, 1, 200), id);
