-- What a server saw of a probe of `rollcall check proxy`, as JSON: kept for the minutes that the command runs.
CREATE TABLE proxy_probes (
    id UUID NOT NULL PRIMARY KEY,
    report TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX proxy_probes_by_expiry ON proxy_probes (expires_at);
