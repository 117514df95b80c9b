use std::os::unix::net::UnixStream;

use super::*;

fn unix(path: &Path) -> Address {
    Address::Unix(path.to_owned())
}

#[tokio::test]
async fn a_socket_file_is_private_and_goes_with_its_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = Listener::bind(&unix(&path)).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, OWNER_ONLY);
    UnixStream::connect(&path).unwrap();
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_a_dead_process_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::bind(&unix(&path)).await.unwrap();
    UnixStream::connect(&path).unwrap();
    drop(listener);
}

#[tokio::test]
async fn what_is_in_use_or_no_socket_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let first = Listener::bind(&unix(&path)).await.unwrap();
    let second = Listener::bind(&unix(&path)).await.unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    UnixStream::connect(&path).unwrap();
    drop(first);
    std::fs::write(&path, "precious").unwrap();
    let refused = Listener::bind(&unix(&path)).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

/// Whoever asks is one of many tasks of this thread, and must not stop the others.
#[tokio::test]
async fn an_owner_that_is_too_busy_to_accept_is_one_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let owner = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&owner, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&owner, 0).unwrap();
    let mut waiting = Vec::new();
    // As many as may wait to be accepted.
    while let Ok(client) = tokio::net::UnixStream::connect(&path).await {
        waiting.push(client);
    }
    let (done, asked) = std::sync::mpsc::channel();
    let address = unix(&path);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        let bound = runtime.block_on(Listener::bind(&address));
        done.send(bound.unwrap_err().kind()).unwrap();
    });
    let patience = std::time::Duration::from_secs(60);
    assert_eq!(asked.recv_timeout(patience), Ok(io::ErrorKind::AddrInUse));
    assert!(path.exists());
}

#[tokio::test]
async fn a_file_that_is_anothers_by_now_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let first = Listener::bind(&unix(&path)).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = Listener::bind(&unix(&path)).await.unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
}

#[tokio::test]
async fn a_host_that_is_gone_is_noticed_by_the_system() {
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&Address::Tcp(any)).await.unwrap();
    let Address::Tcp(at) = listener.address() else {
        panic!("it is TCP");
    };
    let _client = std::net::TcpStream::connect(at).unwrap();
    let Ok((Socket::Tcp(stream), _)) = listener.accept().await else {
        panic!("it is TCP");
    };
    assert!(stream.nodelay().unwrap());
    assert!(rustix::net::sockopt::socket_keepalive(&stream).unwrap());
    let idle = rustix::net::sockopt::tcp_keepidle(&stream).unwrap();
    assert!(idle.as_secs() <= 60, "{idle:?}");
}
