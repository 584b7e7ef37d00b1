-- What users and groups lack for authentik's API: attributes, a path, a type, when something changed,
-- and groups within groups.
--
-- A node of version 0.1.0 may run on the same database. It writes none of the new columns, so each is
-- null or has a default that is right for its rows, and two triggers keep what it does not know of.

ALTER TABLE users ADD COLUMN attributes TEXT COLLATE "C" NOT NULL DEFAULT '{}';
ALTER TABLE users ADD COLUMN path TEXT COLLATE "C" NOT NULL DEFAULT 'users';
-- internal, external, service_account or internal_service_account.
ALTER TABLE users ADD COLUMN type TEXT COLLATE "C" NOT NULL DEFAULT 'internal';
ALTER TABLE users ADD COLUMN is_email_verified BOOLEAN NOT NULL DEFAULT false;
-- Null: when the user was added.
ALTER TABLE users ADD COLUMN password_changed_at BIGINT;
ALTER TABLE users ADD COLUMN updated_at BIGINT;
-- Null: not folded so far. The server folds the names of such rows when it starts.
ALTER TABLE users ADD COLUMN name_folded TEXT COLLATE "C";
CREATE INDEX users_without_folded_name ON users (id) WHERE name_folded IS NULL;

-- Each order of the list is read from an index. Names and paths may be longer than an index of
-- PostgreSQL takes, so the first 200 characters decide.
CREATE INDEX users_by_name ON users (substr(name, 1, 200), id);
CREATE INDEX users_by_path ON users (substr(path, 1, 200), id);
CREATE INDEX users_by_address ON users (email, id);
CREATE INDEX users_by_type ON users (type, id);
CREATE INDEX users_by_activity ON users (is_active, id);
CREATE INDEX users_by_creation ON users (created_at, id);
CREATE INDEX users_by_last_sign_in ON users (COALESCE(last_sign_in_at, 0), id);
CREATE INDEX users_by_update ON users (COALESCE(updated_at, created_at), id);
CREATE INDEX users_by_password_change ON users (COALESCE(password_changed_at, created_at), id);
CREATE INDEX users_with_attributes ON users (id) WHERE attributes <> '{}';
CREATE INDEX superusers ON users (id) WHERE is_superuser;

-- How many rows a table has, so that a list of all users does not count them.
CREATE TABLE row_counts (
    name TEXT COLLATE "C" PRIMARY KEY,
    n BIGINT NOT NULL
);
INSERT INTO row_counts (name, n) SELECT 'users', count(*) FROM users;
CREATE FUNCTION count_added_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE row_counts SET n = n + (SELECT count(*) FROM added) WHERE name = 'users';
    RETURN NULL;
END $$;
CREATE TRIGGER count_added_users AFTER INSERT ON users REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_added_users();
CREATE FUNCTION count_removed_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE row_counts SET n = n - (SELECT count(*) FROM removed) WHERE name = 'users';
    RETURN NULL;
END $$;
CREATE TRIGGER count_removed_users AFTER DELETE ON users REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_users();

ALTER TABLE groups ADD COLUMN attributes TEXT COLLATE "C" NOT NULL DEFAULT '{}';

-- Groups within groups: the direct parents of a group.
CREATE TABLE group_parents (
    group_id BIGINT NOT NULL REFERENCES groups ON DELETE CASCADE,
    parent_id BIGINT NOT NULL REFERENCES groups ON DELETE CASCADE,
    PRIMARY KEY (group_id, parent_id)
);
CREATE INDEX group_parents_by_parent ON group_parents (parent_id, group_id);

-- The closure of `group_parents`: all ancestors of a group, and the group itself. It is written again
-- in the transaction that changes a parent. Rights and policies join it, so that they need no recursion.
CREATE TABLE group_ancestors (
    group_id BIGINT NOT NULL REFERENCES groups ON DELETE CASCADE,
    ancestor_id BIGINT NOT NULL REFERENCES groups ON DELETE CASCADE,
    PRIMARY KEY (group_id, ancestor_id)
);
CREATE INDEX group_ancestors_by_ancestor ON group_ancestors (ancestor_id, group_id);
INSERT INTO group_ancestors (group_id, ancestor_id) SELECT id, id FROM groups;
CREATE FUNCTION add_group_to_closure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO group_ancestors (group_id, ancestor_id) VALUES (NEW.id, NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER add_group_to_closure AFTER INSERT ON groups FOR EACH ROW EXECUTE FUNCTION add_group_to_closure();
