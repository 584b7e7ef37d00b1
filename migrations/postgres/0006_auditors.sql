-- Who reads everything that administrators read, and changes nothing.
ALTER TABLE users ADD COLUMN is_auditor BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE groups ADD COLUMN is_auditor BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX auditors ON users (id) WHERE is_auditor;
