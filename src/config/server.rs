//! The settings above all tables.

use std::path::PathBuf;

use crate::config::kinds::PATH;
use crate::config::listen::{LISTEN, Listen};
use crate::config::section::section;

section! {
    /// Where the server keeps its files and listens.
    pub struct ServerConfig [] {
        /// The directory of the instance key, and of the SQLite file unless `database.url` says otherwise.
        data_dir: PathBuf = PATH, default "./rollcall-data";

        /// Where to listen: an address and port, `localhost:9000` (every address of the name), `unix:/path`, or
        /// `systemd` (the sockets that the service manager passed); one, or a list of up to 8.
        ///
        /// Port 0 takes a free port. `tls:` in front speaks TLS with the certificate of `[tls]`. `proxy:` and
        /// `proxy+tls:` want a header of the PROXY protocol from a trusted proxy first.
        listen: Vec<Listen> = LISTEN, default "127.0.0.1:9000";
    }
}
