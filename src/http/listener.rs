//! Listeners: sockets that are bound, or that the service manager passed, and what is spoken on each.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::{At, Listen};
use crate::http::peer::Peer;
use crate::http::tls::Certificates;

/// A socket that connections arrive on. The file of a Unix socket is removed when this is dropped.
pub struct Listener {
    socket: Socket,
    listen: Listen,
    /// The certificate, where TLS is spoken.
    pub(super) certificates: Option<Arc<Certificates>>,
    _file: Option<SocketFile>,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection that was accepted.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket that another process bound, and passed to this one.
#[derive(Debug)]
pub enum Inherited {
    /// A socket of TCP.
    Tcp(std::net::TcpListener),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// Plain HTTP on a socket that is bound.
    ///
    /// # Errors
    /// When the socket does not tell its address.
    pub fn plain(listener: TcpListener) -> io::Result<Self> {
        Self::tcp(listener, &Listen { is_proxied: false, is_tls: false, at: At::Inherited }, None)
    }

    /// What is spoken here, and where it really is: with the port that was taken.
    #[must_use]
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// Binds one place: of a name every address.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub async fn bind(listen: &Listen, mode: u32, certificates: Option<&Arc<Certificates>>) -> io::Result<Vec<Self>> {
        let certificates = certificates.filter(|_| listen.is_tls).cloned();
        match &listen.at {
            At::Address(address) => Ok(vec![Self::tcp(TcpListener::bind(address).await?, listen, certificates)?]),
            At::Name { host, port } => Self::bind_name((host, *port), listen, certificates.as_ref()).await,
            At::Unix(path) => {
                let (socket, file) = bind_file(path, mode)?;
                Ok(vec![Self { socket: Socket::Unix(socket), listen: listen.clone(), certificates, _file: Some(file) }])
            }
            At::Inherited => Ok(Vec::new()),
        }
    }

    /// Every address of a name, with the same port. An address of a kind that this machine does not have is left out,
    /// as long as there is another.
    async fn bind_name(name: (&str, u16), listen: &Listen, certificates: Option<&Arc<Certificates>>) -> io::Result<Vec<Self>> {
        let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host(name).await?.collect();
        addresses.sort_unstable();
        addresses.dedup();
        let (mut all, mut port, mut missing) = (Vec::new(), name.1, None);
        for mut address in addresses {
            address.set_port(port);
            let bound = match TcpListener::bind(address).await {
                Err(error) if is_of_no_such_kind(&error) => {
                    tracing::warn!(%address, %error, "this address of {} is not listened on", name.0);
                    missing = Some(error);
                    continue;
                }
                bound => bound?,
            };
            port = bound.local_addr()?.port();
            all.push(Self::tcp(bound, listen, certificates.cloned())?);
        }
        match missing {
            Some(error) if all.is_empty() => Err(error),
            _ if all.is_empty() => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            _ => Ok(all),
        }
    }

    /// Takes a socket that the service manager passed.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn inherit(inherited: Inherited, listen: &Listen, certificates: Option<&Arc<Certificates>>) -> io::Result<Self> {
        let certificates = certificates.filter(|_| listen.is_tls).cloned();
        match inherited {
            Inherited::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Self::tcp(TcpListener::from_std(socket)?, listen, certificates)
            }
            Inherited::Unix(socket) => {
                socket.set_nonblocking(true)?;
                let path = socket.local_addr()?.as_pathname().map_or_else(|| PathBuf::from("/"), Path::to_owned);
                let socket = Socket::Unix(UnixListener::from_std(socket)?);
                // Its file belongs to the service manager.
                Ok(Self { socket, listen: listen.moved(At::Unix(path)), certificates, _file: None })
            }
        }
    }

    fn tcp(listener: TcpListener, listen: &Listen, certificates: Option<Arc<Certificates>>) -> io::Result<Self> {
        let at = At::Address(listener.local_addr()?);
        Ok(Self { socket: Socket::Tcp(listener), listen: listen.moved(at), certificates, _file: None })
    }

    /// The next connection and its peer.
    pub(super) fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = ready!(listener.poll_accept(context))?;
                Poll::Ready(Ok((Stream::Tcp(stream), Peer::at(address.ip()))))
            }
            Socket::Unix(listener) => {
                let (stream, _) = ready!(listener.poll_accept(context))?;
                Poll::Ready(Ok((Stream::Unix(stream), Peer::unix())))
            }
        }
    }
}

/// Whether an address cannot be bound because this machine has none of its kind: no IPv6, in many containers.
fn is_of_no_such_kind(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// The file of a Unix socket that this process bound. It is removed in the end, unless another file has its name.
struct SocketFile {
    path: PathBuf,
    id: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.id.is_some() && id_of(&self.path) == self.id {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// What tells a file from one that takes its name.
fn id_of(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Binds a Unix socket. A file that a killed server left is replaced when nobody answers there.
fn bind_file(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of this name that is no socket"));
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there")),
            // Its queue may be full, or it belongs to somebody else: in doubt it is in use.
            Err(error) => return Err(error),
        },
    }
    // Nobody can connect before the mode is set: it is bound in a folder that nobody else enters, and moved.
    let parent = path.parent().unwrap_or(Path::new("/"));
    let folder = tempfile::Builder::new().prefix(".rc").tempdir_in(parent)?;
    let bound = folder.path().join("s");
    let socket = UnixListener::bind(&bound)?;
    std::fs::set_permissions(&bound, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&bound, path)?;
    Ok((socket, SocketFile { path: path.to_owned(), id: id_of(path) }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let listen = Listen { is_proxied: false, is_tls: false, at: At::Unix(path.clone()) };
        let bind = || Listener::bind(&listen, 0o640, None);
        let first = bind().await.unwrap();
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o640);
        assert_eq!(bind().await.map(drop).unwrap_err().to_string(), "another server answers there");
        drop(first);
        assert!(!path.exists(), "it is removed in the end");
        // A killed server leaves its file.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = bind().await.unwrap();
        // Another file of this name is not ours to remove.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        drop(second);
        assert!(path.exists());
        let error = bind().await.map(drop).unwrap_err();
        assert_eq!(error.to_string(), "there is a file of this name that is no socket");
    }

    #[tokio::test]
    async fn every_address_of_a_name_gets_the_same_port() {
        let listen = Listen::parse("localhost:0").unwrap();
        let all = Listener::bind(&listen, 0o660, None).await.unwrap();
        let ports: Vec<u16> = all
            .iter()
            .map(|one| match &one.listen.at {
                At::Address(address) if address.ip().is_loopback() => address.port(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(ports[0] > 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }
}
