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
