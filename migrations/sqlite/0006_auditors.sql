-- Who reads everything that administrators read, and changes nothing.
ALTER TABLE users ADD COLUMN is_auditor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE groups ADD COLUMN is_auditor INTEGER NOT NULL DEFAULT 0;
CREATE INDEX auditors ON users (id) WHERE is_auditor;
