-- Counts what else changes how a user proves who they are: second factors and deactivation. With the password's hash
-- it makes the generation that stored proofs hang on.
ALTER TABLE users ADD COLUMN credential_changes INTEGER NOT NULL DEFAULT 0;
-- The generation that was proved. An empty one is none: what waited before this migration starts again.
ALTER TABLE pending_sign_ins ADD COLUMN generation BLOB NOT NULL DEFAULT X'';
-- The generation a set-up or recovery link was made for; NULL for API tokens.
ALTER TABLE tokens ADD COLUMN generation BLOB;
