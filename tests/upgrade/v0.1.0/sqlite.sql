PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE migrations (name TEXT PRIMARY KEY);
INSERT INTO migrations VALUES('0001_init');
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    -- authentik's `uid`: 256 random bits in hexadecimal, or what an import brought.
    uid TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    -- Folded texts are searched without letter case (domain/fold.rs); keys tell whether two names are
    -- the same (domain/names.rs). Keys may be equal where an import brought both names.
    username_folded TEXT NOT NULL,
    username_key TEXT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    email_key TEXT NOT NULL,
    -- Argon2id in PHC form; null: no sign-in with a password.
    password_hash TEXT,
    is_active INTEGER NOT NULL,
    is_superuser INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_sign_in_at INTEGER,
    -- Counts what else changes how a user proves who they are: second factors and deactivation. With
    -- the password's hash it makes the generation that stored proofs hang on.
    credential_changes INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO users VALUES(1,X'eeef67a9ea7944dfb8b881224eec4e6a','d98bd7dc19c359a7ec277bb50d918dff2e7f590a2774c4166201319b382f9081','root','ROOT','root','','','','',NULL,1,1,1795840235602083,NULL,0);
INSERT INTO users VALUES(2,X'9891825c37c84c489c596cbfa4eb8abe','83cd2abab141bb1f0139c7e045664fa90fa48e16615eb9f8e1e877bf14d90c20','alice','ALICE','alice','Alice Example','alice@example.com','ALICE@EXAMPLE.COM','alice@example.com','$argon2id$v=19$m=19456,t=2,p=1$n5B0DsvEYwXgG2PCRrI7Ew$oe4OAd1TDuv1Sfbq2QKU6eZOPnLiMXsk23UajgZDM+c',1,0,1795840235602083,1795840236571902,0);
INSERT INTO users VALUES(3,X'ac23c3dbee744edd82d184370b831f7a','22ef43964c4e4e013645f73b2fcd6e993b02e8b3d9cef7aa20a556c644179aed','bob','BOB','bob','','','','',NULL,1,0,1795840235602083,NULL,0);
INSERT INTO users VALUES(4,X'7fe630dc256a4bf0a05b02e871094eff','d62740321e4a3ca973bf51a7a16b187a083e08b9e60622f097b64544b7d52c43','akadmin','AKADMIN','akadmin','Administrator','','','',NULL,1,1,1795840236061906,NULL,0);
CREATE TABLE user_permissions (
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    permission TEXT NOT NULL,
    PRIMARY KEY (user_id, permission)
) STRICT, WITHOUT ROWID;
CREATE TABLE groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    name_key TEXT NOT NULL,
    is_superuser INTEGER NOT NULL
) STRICT;
INSERT INTO "groups" VALUES(1,X'a139b9cc70b64ea8aed4f35337b8d8ff','staff','staff',0);
CREATE TABLE group_permissions (
    group_id INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
    permission TEXT NOT NULL,
    PRIMARY KEY (group_id, permission)
) STRICT, WITHOUT ROWID;
INSERT INTO group_permissions VALUES(1,'authentik_core.view_authenticatedsession');
CREATE TABLE memberships (
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    group_id INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_id)
) STRICT, WITHOUT ROWID;
INSERT INTO memberships VALUES(2,1);
CREATE TABLE user_policies (
    user_id INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    idle_timeout INTEGER,
    absolute_timeout INTEGER,
    remember_timeout INTEGER,
    max_sessions INTEGER,
    at_limit TEXT,
    require_factor INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO user_policies VALUES(2,NULL,NULL,NULL,17,NULL,0);
CREATE TABLE group_policies (
    group_id INTEGER PRIMARY KEY REFERENCES groups ON DELETE CASCADE,
    idle_timeout INTEGER,
    absolute_timeout INTEGER,
    remember_timeout INTEGER,
    max_sessions INTEGER,
    at_limit TEXT,
    require_factor INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    key_hash BLOB NOT NULL UNIQUE,
    identifier TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    intent TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    is_expiring INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- The generation a set-up or recovery link was made for; null for API tokens.
    generation BLOB
) STRICT;
INSERT INTO tokens VALUES(1,X'3b4b23af34af405492db2f2646b5d836',X'd70fdce08c51db0ffdbb261b459341c56189fd3f2140e7c8e91d3315e0c6bdc2','imported-ynkSZttyEc','','api',1,0,4070908800000000,1795840235602083,NULL);
INSERT INTO tokens VALUES(2,X'365ba16440f4402992df541fbedbf12a',X'717add56f34480bb3030735572ba85d589dc5b892480fc668f1e1260fd3d4303','fixture','','api',3,0,1795840235998556,1795840235998556,NULL);
INSERT INTO tokens VALUES(3,X'db03f5b61e91426b9704279e9e76c4dd',X'cf09f79dead1b02b20063dd9b0666bdb075f66da23eee05b7c61d288d7f2c2f0','recovery-6MEwIWxbAK','set-up link','recovery',4,1,1795843836064012,1795840236064012,X'af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc');
CREATE TABLE user_agents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL UNIQUE,
    text_folded TEXT NOT NULL,
    browser TEXT NOT NULL,
    os TEXT NOT NULL,
    device TEXT NOT NULL,
    parsed TEXT NOT NULL,
    rules TEXT NOT NULL
) STRICT;
INSERT INTO user_agents VALUES(1,'curl/8.0','CURL/8.0','curl','Other','Other','{"browser":{"family":"curl","major":"8","minor":"0","patch":""},"system":{"family":"Other","major":"","minor":"","patch":"","patch_minor":""},"device":{"family":"Other","brand":"","model":""}}','33543d54c9373d38');
INSERT INTO user_agents VALUES(2,'agent 4','AGENT 4','Other','Other','Other','{"browser":{"family":"Other","major":"","minor":"","patch":""},"system":{"family":"Other","major":"","minor":"","patch":"","patch_minor":""},"device":{"family":"Other","brand":"","model":""}}','33543d54c9373d38');
INSERT INTO user_agents VALUES(3,'agent 5','AGENT 5','Other','Other','Other','{"browser":{"family":"Other","major":"","minor":"","patch":""},"system":{"family":"Other","major":"","minor":"","patch":"","patch_minor":""},"device":{"family":"Other","brand":"","model":""}}','33543d54c9373d38');
INSERT INTO user_agents VALUES(4,'agent 6','AGENT 6','Other','Other','Other','{"browser":{"family":"Other","major":"","minor":"","patch":""},"system":{"family":"Other","major":"","minor":"","patch":"","patch_minor":""},"device":{"family":"Other","brand":"","model":""}}','33543d54c9373d38');
INSERT INTO user_agents VALUES(5,'Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0','MOZILLA/5.0 (X11; LINUX X86_64; RV:143.0) GECKO/20100101 FIREFOX/143.0','Firefox','Linux','Other','{"browser":{"family":"Firefox","major":"143","minor":"0","patch":""},"system":{"family":"Linux","major":"","minor":"","patch":"","patch_minor":""},"device":{"family":"Other","brand":"","model":""}}','33543d54c9373d38');
CREATE TABLE session_rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    key_hash BLOB NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    -- The nearer end of the idle and the absolute timeout.
    expires_at INTEGER NOT NULL,
    absolute_expires_at INTEGER NOT NULL,
    idle_timeout INTEGER,
    last_ip TEXT NOT NULL,
    -- The address as bytes that sort and compare by network.
    last_ip_key BLOB NOT NULL,
    user_agent_id INTEGER NOT NULL REFERENCES user_agents,
    country TEXT NOT NULL,
    asn INTEGER,
    -- How the user authenticated (RFC 8176 words, separated by blanks); '': imported.
    methods TEXT NOT NULL,
    is_remembered INTEGER NOT NULL,
    label TEXT NOT NULL,
    -- When the user last authenticated; 0: never here.
    proved_at INTEGER NOT NULL DEFAULT 0,
    -- Whether the browser was a known device of the user at the sign-in.
    is_known_device INTEGER NOT NULL DEFAULT 0,
    -- Where the user last authenticated, like `last_ip_key`; null: unknown.
    proved_ip_key BLOB
) STRICT;
INSERT INTO session_rows VALUES(4,X'00000004000040008000000000000000',X'c3943f04643a29f3bf8b6139a03366d1cbd7b69aaccb7a9abffdc1dc7627e28c',2,1791072000000000,1791072000000000,4070908800000000,4070908800000000,NULL,'192.0.2.0',X'04c0000200000000000000000000000000',2,'',NULL,'',0,'',0,0,X'04c0000200000000000000000000000000');
INSERT INTO session_rows VALUES(5,X'00000005000040008000000000000000',X'61ab52e9414300baedef34a684c76b66dc9baf90dafa53f802aa1b7cfba277f0',2,1791158400000000,1791158400000000,4070908800000000,4070908800000000,NULL,'192.0.2.0',X'04c0000200000000000000000000000000',3,'',NULL,'',0,'',0,0,X'04c0000200000000000000000000000000');
INSERT INTO session_rows VALUES(6,X'00000006000040008000000000000000',X'ff6a9bc25cafabde2253b3fda48cb86e5f52033617324402d3e32434e6b29ee0',2,1791244800000000,1791244800000000,4070908800000000,4070908800000000,NULL,'192.0.2.0',X'04c0000200000000000000000000000000',4,'',NULL,'',0,'',0,0,X'04c0000200000000000000000000000000');
INSERT INTO session_rows VALUES(7,X'01a2206b5c1b7c8fa46a0bbbc3645a3c',X'15e95fba9d2643a5359306a629109c2bf85fc6bcbdaf91a193a98fb09104b934',2,1795840236571902,1795840236571902,1795883436571902,1797049836571902,43200000000,'127.0.0.1',X'047f000001000000000000000000000000',5,'',NULL,'pwd',0,'',1795840236571902,0,X'047f000001000000000000000000000000');
CREATE TABLE pending_ends (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ended_at INTEGER NOT NULL,
    ended_by_uuid BLOB,
    ended_by_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    comment TEXT NOT NULL,
    ip TEXT NOT NULL,
    request_id TEXT NOT NULL,
    -- The event `sessions_ended` that the events of the single ends belong to; null: none.
    event_id INTEGER
) STRICT;
CREATE TABLE pending_end_sessions (
    session_id INTEGER PRIMARY KEY,
    pending_end_id INTEGER NOT NULL
) STRICT;
CREATE TABLE session_counts (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    slot INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (kind, key, slot)
) STRICT, WITHOUT ROWID;
INSERT INTO session_counts VALUES('all','',0,4);
INSERT INTO session_counts VALUES('asn','',0,4);
INSERT INTO session_counts VALUES('country','',0,4);
INSERT INTO session_counts VALUES('ended','',0,3);
INSERT INTO session_counts VALUES('ended_user','ac23c3dbee744edd82d184370b831f7a',0,3);
INSERT INTO session_counts VALUES('user','2',0,4);
INSERT INTO session_counts VALUES('user','3',0,0);
INSERT INTO session_counts VALUES('user_agent','1',0,0);
INSERT INTO session_counts VALUES('user_agent','2',0,1);
INSERT INTO session_counts VALUES('user_agent','3',0,1);
INSERT INTO session_counts VALUES('user_agent','4',0,1);
INSERT INTO session_counts VALUES('user_agent','5',0,1);
CREATE TABLE session_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    ids BLOB NOT NULL
) STRICT;
INSERT INTO session_changes VALUES(1,X'');
INSERT INTO session_changes VALUES(2,X'fffffffffffffffffefffffffffffffffdffffffffffffff');
INSERT INTO session_changes VALUES(3,X'010000000000000002000000000000000300000000000000040000000000000005000000000000000600000000000000');
INSERT INTO session_changes VALUES(4,X'010000000000000002000000000000000300000000000000');
INSERT INTO session_changes VALUES(5,X'fcffffffffffffff');
INSERT INTO session_changes VALUES(6,X'040000000000000005000000000000000600000000000000');
INSERT INTO session_changes VALUES(7,X'0700000000000000');
CREATE TABLE ended_sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL,
    user_uuid BLOB NOT NULL,
    username TEXT NOT NULL,
    username_folded TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_ip TEXT NOT NULL,
    last_ip_key BLOB NOT NULL,
    user_agent_id INTEGER NOT NULL REFERENCES user_agents,
    country TEXT NOT NULL,
    asn INTEGER,
    methods TEXT NOT NULL,
    is_remembered INTEGER NOT NULL,
    is_known_device INTEGER NOT NULL DEFAULT 0,
    label TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    -- The user who ended it; null: no user (`system`, `cli`).
    ended_by_uuid BLOB,
    ended_by_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    comment TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO ended_sessions VALUES(1,X'00000001000040008000000000000000',X'ac23c3dbee744edd82d184370b831f7a','bob','BOB',1790812800000000,1790812800000000,4070908800000000,'192.0.2.1',X'04c0000201000000000000000000000000',1,'',NULL,'',0,0,'',1795840236022492,NULL,'cli','revoked','a stolen laptop');
INSERT INTO ended_sessions VALUES(2,X'00000002000040008000000000000000',X'ac23c3dbee744edd82d184370b831f7a','bob','BOB',1790899200000000,1790899200000000,4070908800000000,'192.0.2.2',X'04c0000202000000000000000000000000',1,'',NULL,'',0,0,'',1795840236022492,NULL,'cli','revoked','a stolen laptop');
INSERT INTO ended_sessions VALUES(3,X'00000003000040008000000000000000',X'ac23c3dbee744edd82d184370b831f7a','bob','BOB',1790985600000000,1790985600000000,4070908800000000,'192.0.2.3',X'04c0000203000000000000000000000000',1,'',NULL,'',0,0,'',1795840236022492,NULL,'cli','revoked','a stolen laptop');
CREATE TABLE end_jobs (
    name TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    -- The request that began it: the name of the user, the address or '', and the request's id.
    actor TEXT NOT NULL,
    ip TEXT NOT NULL,
    request_id TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- Which sessions, as JSON (EndTarget).
    target TEXT NOT NULL,
    total INTEGER NOT NULL,
    comment TEXT NOT NULL,
    -- running, done, changed or stopped (EndJobState).
    state TEXT NOT NULL,
    ended INTEGER NOT NULL,
    remaining INTEGER NOT NULL,
    -- Its event `sessions_ended`; null: not written so far.
    event_id INTEGER,
    -- The process that runs it, and until when no other process may.
    lease_holder TEXT NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    parent_id INTEGER,
    -- The slug of the application it is about, or ''.
    application TEXT NOT NULL DEFAULT '',
    actor_uuid BLOB,
    actor TEXT NOT NULL,
    user_uuid BLOB,
    username TEXT NOT NULL,
    ip TEXT NOT NULL,
    request_id TEXT NOT NULL,
    session_uuid BLOB,
    content TEXT NOT NULL
) STRICT;
INSERT INTO events VALUES(1,X'01a2206b58527d139d908518dbdee7bd',1795840235602083,'import',NULL,'',NULL,'cli',NULL,'','','',NULL,'{"is_generated":false,"sessions":0,"tokens":1,"users":3}');
INSERT INTO events VALUES(2,X'01a2206b589379bdaaf43c9147f95e5d',1795840235667524,'password_set',NULL,'',NULL,'cli',X'9891825c37c84c489c596cbfa4eb8abe','alice','','',NULL,'{}');
INSERT INTO events VALUES(3,X'01a2206b58a87b1091ddf604b92af912',1795840235688080,'import',NULL,'',NULL,'cli',NULL,'','','',NULL,'{"is_generated":false,"sessions":6,"tokens":0,"users":0}');
INSERT INTO events VALUES(4,X'01a2206b59ca74bf93f43c607d218ddb',1795840235978414,'policy_set',NULL,'',NULL,'cli',X'9891825c37c84c489c596cbfa4eb8abe','alice','','',NULL,'{"group":null,"policy":{"absolute_timeout":null,"at_limit":null,"idle_timeout":null,"is_factor_required":false,"max_sessions":17,"remember_timeout":null}}');
INSERT INTO events VALUES(5,X'01a2206b59de7063bbf42de6c67daf67',1795840235998556,'token_added',NULL,'',NULL,'cli',X'ac23c3dbee744edd82d184370b831f7a','bob','','',NULL,'{"token":"fixture","token_uuid":"365ba16440f4402992df541fbedbf12a"}');
INSERT INTO events VALUES(6,X'01a2206b59f6771a8b4ba66c0a15c86c',1795840236022492,'sessions_ended',NULL,'',NULL,'cli',NULL,'','','',NULL,'{"comment":"a stolen laptop","count":3,"expected":3,"filter":{"username":"bob"},"reason":"revoked","users":1}');
INSERT INTO events VALUES(7,X'01a2206b59f67267b63c1cef934e2805',1795840236022492,'session_revoked',6,'',NULL,'cli',X'ac23c3dbee744edd82d184370b831f7a','bob','','',X'00000001000040008000000000000000','{"comment":"a stolen laptop","reason":"revoked"}');
INSERT INTO events VALUES(8,X'01a2206b59f67c52b22c76fcabd6ca14',1795840236022492,'session_revoked',6,'',NULL,'cli',X'ac23c3dbee744edd82d184370b831f7a','bob','','',X'00000002000040008000000000000000','{"comment":"a stolen laptop","reason":"revoked"}');
INSERT INTO events VALUES(9,X'01a2206b59f67b7c8c17f1e99ca3c2b3',1795840236022492,'session_revoked',6,'',NULL,'cli',X'ac23c3dbee744edd82d184370b831f7a','bob','','',X'00000003000040008000000000000000','{"comment":"a stolen laptop","reason":"revoked"}');
INSERT INTO events VALUES(10,X'01a2206b5a1d7939b749dab3364b0515',1795840236061906,'user_added',NULL,'',NULL,'system',X'7fe630dc256a4bf0a05b02e871094eff','akadmin','','',NULL,'{}');
INSERT INTO events VALUES(11,X'01a2206b5a207d6187bd930d0c3784ed',1795840236064012,'token_added',NULL,'',NULL,'system',X'7fe630dc256a4bf0a05b02e871094eff','akadmin','','',NULL,'{"token":"recovery-6MEwIWxbAK","token_uuid":"db03f5b61e91426b9704279e9e76c4dd"}');
INSERT INTO events VALUES(12,X'01a2206b5abb7b88bdeaf484c12cac43',1795840236219161,'sign_in_failed',NULL,'',NULL,'anonymous',X'9891825c37c84c489c596cbfa4eb8abe','alice','127.0.0.1','1a6b8a011613480bad7ac492897eeb56',NULL,'{"stage":"password","why":""}');
INSERT INTO events VALUES(13,X'01a2206b5c1b7dedb4a4eb357b2dfe44',1795840236571902,'sign_in',NULL,'',X'9891825c37c84c489c596cbfa4eb8abe','alice',X'9891825c37c84c489c596cbfa4eb8abe','alice','127.0.0.1','44d5e7457ebf4e869a602b7f3bf203c0',X'01a2206b5c1b7c8fa46a0bbbc3645a3c','{"methods":"pwd"}');
CREATE TABLE pending_sign_ins (
    key_hash BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,
    -- What it has proved so far.
    methods TEXT NOT NULL DEFAULT 'pwd',
    -- The generation that was proved.
    generation BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE authenticators (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    secret BLOB NOT NULL,
    credential_id BLOB UNIQUE,
    counter INTEGER NOT NULL,
    is_confirmed INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
CREATE TABLE recovery_codes (
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    code_hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, code_hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE factor_tries (
    user_id INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    failures INTEGER NOT NULL,
    blocked_until INTEGER NOT NULL
) STRICT;
CREATE TABLE known_devices (
    secret_hash BLOB NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, secret_hash)
) STRICT, WITHOUT ROWID;
INSERT INTO known_devices VALUES(X'a26750278b25e287985a3f29638ddd1fa500cb69d0d72161b75b15a853a9a31f',2,1795840236571902,1795840236571902);
CREATE TABLE user_handles (
    user_id INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    handle BLOB NOT NULL UNIQUE
) STRICT;
CREATE TABLE used_challenges (
    challenge_hash BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE guess_limits (
    key BLOB PRIMARY KEY,
    full_at INTEGER NOT NULL,
    -- Whether an event was written about it since it was last refilled.
    is_told INTEGER NOT NULL,
    full_hour INTEGER GENERATED ALWAYS AS (full_at / 3600000000) VIRTUAL
) STRICT, WITHOUT ROWID;
INSERT INTO guess_limits VALUES(X'c5994cb290ef3a213504d5b564b38732cd3cd946ebc4ad7c9a3a135b3381f637',1795840254187278,0);
INSERT INTO guess_limits VALUES(X'd9991c905cabf20d99ceef40853ba63fdde35e0a60f03382ebf4c61391b6e093',1795840250703407,0);
INSERT INTO guess_limits VALUES(X'f47d27934766cb718e39a36235909f7013b64ef406fe4e676ef3b0e90b8ad9b8',1795840326187278,0);
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO settings VALUES('addresses','cut 1793248236070255');
INSERT INTO settings VALUES('clock','1795840236054971');
INSERT INTO settings VALUES('instance_policy','idle timeout 12h, absolute timeout 14days, remember timeout 30days');
INSERT INTO settings VALUES('leftovers','yes');
INSERT INTO settings VALUES('origin','http://127.0.0.1:34791');
INSERT INTO settings VALUES('places','none/none/2');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('session_changes',7);
INSERT INTO sqlite_sequence VALUES('groups',1);
INSERT INTO sqlite_sequence VALUES('users',4);
INSERT INTO sqlite_sequence VALUES('tokens',3);
INSERT INTO sqlite_sequence VALUES('events',13);
INSERT INTO sqlite_sequence VALUES('user_agents',5);
INSERT INTO sqlite_sequence VALUES('session_rows',7);
INSERT INTO sqlite_sequence VALUES('ended_sessions',3);
CREATE INDEX users_by_username_key ON users (username_key);
CREATE INDEX users_by_email_key ON users (email_key) WHERE email_key <> '';
CREATE INDEX groups_by_name_key ON groups (name_key);
CREATE INDEX memberships_by_group ON memberships (group_id);
CREATE INDEX tokens_by_user ON tokens (user_id);
CREATE INDEX user_agents_by_browser ON user_agents (browser);
CREATE INDEX user_agents_by_os ON user_agents (os);
CREATE INDEX user_agents_by_device ON user_agents (device);
CREATE INDEX user_agents_by_rules ON user_agents (rules);
CREATE INDEX sessions_by_user ON session_rows (user_id, uuid);
CREATE INDEX sessions_by_last_used ON session_rows (last_used_at, uuid);
CREATE INDEX sessions_by_expiry ON session_rows (expires_at, uuid);
CREATE INDEX sessions_by_last_ip ON session_rows (last_ip_key, uuid);
CREATE INDEX sessions_by_user_agent ON session_rows (user_agent_id, uuid);
CREATE INDEX pending_end_sessions_by_end ON pending_end_sessions (pending_end_id, session_id);
CREATE VIEW sessions AS
SELECT id, uuid, key_hash, user_id, created_at, last_used_at, expires_at, absolute_expires_at, idle_timeout, last_ip,
    last_ip_key, user_agent_id, country, asn, methods, is_remembered, label, proved_at, is_known_device, proved_ip_key
FROM session_rows
WHERE id NOT IN (SELECT session_id FROM pending_end_sessions);
CREATE INDEX ended_sessions_by_uuid ON ended_sessions (uuid);
CREATE INDEX ended_sessions_by_end ON ended_sessions (ended_at, uuid);
CREATE INDEX ended_sessions_by_user ON ended_sessions (user_uuid, ended_at);
CREATE INDEX ended_sessions_by_user_agent ON ended_sessions (user_agent_id);
CREATE INDEX ended_sessions_by_last_ip ON ended_sessions (last_ip_key, ended_at);
CREATE INDEX ended_sessions_by_username ON ended_sessions (username, ended_at);
CREATE INDEX end_jobs_by_user ON end_jobs (user_id);
CREATE INDEX end_jobs_by_time ON end_jobs (began_at);
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_user ON events (user_uuid, id);
CREATE INDEX events_by_session ON events (session_uuid, id);
CREATE INDEX events_by_kind ON events (kind, id);
CREATE INDEX events_by_parent ON events (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX events_whole ON events (id) WHERE parent_id IS NULL;
CREATE INDEX pending_sign_ins_by_expiry ON pending_sign_ins (expires_at);
CREATE INDEX authenticators_by_user ON authenticators (user_id, id);
CREATE INDEX known_devices_by_secret ON known_devices (secret_hash);
CREATE INDEX known_devices_by_last_use ON known_devices (last_used_at);
CREATE INDEX used_challenges_by_expiry ON used_challenges (expires_at);
CREATE INDEX guess_limits_by_hour ON guess_limits (full_hour);
COMMIT;
