-- A secret itself, sealed with the instance key: of clients that are made through the API, with api.readable_secrets. NULL:
-- the hash is all that is known of it.
ALTER TABLE client_secrets ADD COLUMN sealed BLOB;
