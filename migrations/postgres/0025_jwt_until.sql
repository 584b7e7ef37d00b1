-- Until when an app may still honour the JWT access tokens of an app session, which it checks by itself; 0: it has none.
ALTER TABLE app_sessions ADD COLUMN jwt_until BIGINT NOT NULL DEFAULT 0;
