//! The settings above all tables.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::kinds::{ADDRESS, PATH};
use crate::config::section::section;

section! {
    /// Where the server keeps its files and listens.
    pub struct ServerConfig [] {
        /// The directory of the instance key, and of the SQLite file unless `database.url` says otherwise.
        data_dir: PathBuf = PATH, default "./rollcall-data";

        /// The address and port to listen on.
        ///
        /// Port 0 takes a free port.
        listen: SocketAddr = ADDRESS, default "127.0.0.1:9000";
    }
}
