-- Where its user last proved who they are, as `last_ip_key` has it; null: not known.
ALTER TABLE sessions ADD COLUMN proved_ip_key BYTEA;
