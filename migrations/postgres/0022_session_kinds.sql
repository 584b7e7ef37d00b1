-- What a session is: browser, device (a device without a browser, RFC 8628) or offline (what an app keeps of its user).
ALTER TABLE session_rows ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT 'browser';
