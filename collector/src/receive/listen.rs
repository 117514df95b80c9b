//! Takes an address from the configuration.
//! Gives a socket that listens there, and where that is when the port was 0.
//! Never listens beyond this machine unless told to.

use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{flag} {address}: no such address ({source}). Give HOST:PORT, such as 127.0.0.1:4317")]
    Resolve {
        flag: &'static str,
        address: String,
        source: std::io::Error,
    },
    #[error(
        "{flag} {address} would be reachable from other machines, without credentials or encryption. \
         Use a loopback address, or add --allow-public if something else guards it"
    )]
    Public {
        flag: &'static str,
        address: SocketAddr,
    },
    #[error(
        "{flag} {address} is in use. Stop the program that has it (`ss -ltnp sport = :{}` names it), \
         or choose another address with {flag}",
        address.port()
    )]
    InUse {
        flag: &'static str,
        address: SocketAddr,
    },
    #[error("cannot listen on {flag} {address}: {source}")]
    Io {
        flag: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
}

/// Listens on `address`, which the option `flag` gave.
pub async fn listen(
    flag: &'static str,
    address: &str,
    allow_public: bool,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let unresolved = |source| ListenError::Resolve {
        flag,
        address: address.to_owned(),
        source,
    };
    let mut resolved = tokio::net::lookup_host(address).await.map_err(unresolved)?;
    let none = || std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    let address = resolved.next().ok_or_else(none).map_err(unresolved)?;
    if !address.ip().is_loopback() && !allow_public {
        return Err(ListenError::Public { flag, address });
    }
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AddrInUse => ListenError::InUse { flag, address },
        _ => ListenError::Io {
            flag,
            address,
            source,
        },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
