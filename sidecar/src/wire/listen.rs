//! Takes an address. Gives the connections of clients.
//! Never takes a Unix socket away from a process that still listens on it, and leaves no file behind.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::timeout;

use super::address::Address;
use super::stream::Socket;

/// Connections that may wait to be accepted, as the standard library has it for TCP.
const BACKLOG: i32 = 1024;
/// How long the owner of a socket may take to show that it is there.
const PROBE: Duration = Duration::from_secs(1);
/// Only the user that we run as may connect.
const OWNER_ONLY: u32 = 0o600;

/// An address that is ours.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    address: Address,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "removes the file when dropped")] SocketFile,
    ),
}

/// The file of a Unix socket: gone with its listener, unless it is another's by now.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).ok() == Some(self.inode) {
            // A file that cannot be removed is replaced at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// # Errors
    /// When the address cannot be had: another process listens there, or the path is a file of another kind.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(wanted) => {
                let listener = TcpListener::bind(wanted).await?;
                let address = Address::Tcp(listener.local_addr()?);
                Ok(Self {
                    socket: Bound::Tcp(listener),
                    address,
                })
            }
            Address::Unix(path) => {
                let (listener, file) = bind_unix(path).await?;
                Ok(Self {
                    socket: Bound::Unix(listener, file),
                    address: address.clone(),
                })
            }
        }
    }

    /// Where it listens: with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection, and the address of its client where it has one.
    ///
    /// # Errors
    /// When there is no descriptor left, or a connection went away before it was accepted.
    pub async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match &self.socket {
            Bound::Tcp(listener) => {
                let (stream, client) = listener.accept().await?;
                Ok((Socket::tcp(stream)?, Some(client)))
            }
            Bound::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), None))
            }
        }
    }
}

async fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path).await?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    let file = SocketFile {
        inode: inode(path)?,
        path: path.to_owned(),
    };
    // Nobody can connect before it listens, so nobody slips in before its mode is set.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(OWNER_ONLY))?;
    rustix::net::listen(&socket, BACKLOG)?;
    let listener = UnixListener::from_std(unix::UnixListener::from(socket))?;
    Ok((listener, file))
}

/// Removes the socket that a process left behind when it died.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        ));
    }
    // An owner that is too busy to accept is one all the same.
    match timeout(PROBE, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests;
