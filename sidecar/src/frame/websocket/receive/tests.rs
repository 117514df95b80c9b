use super::*;

const KEY: [u8; 4] = [1, 2, 3, 4];

fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        fin,
        compressed: false,
        opcode,
        mask: Some(KEY),
        length: payload.len() as u64,
    };
    let mut out = Vec::new();
    header.write(&mut out);
    let mut masked = payload.to_vec();
    mask(&mut masked, KEY, 0);
    out.append(&mut masked);
    out
}

/// All that comes of these bytes, which arrive in pieces of this size.
fn receive(bytes: &[u8], size: usize) -> (Vec<Received>, Option<Broken>) {
    let mut receiver = Receiver::new(70_000);
    let mut all = Vec::new();
    for piece in bytes.chunks(size) {
        receiver.space().extend_from_slice(piece);
        loop {
            match receiver.receive() {
                Ok(Some(received)) => all.push(received),
                Ok(None) => break,
                Err(broken) => return (all, Some(broken)),
            }
        }
    }
    (all, None)
}

#[test]
fn messages_come_whole_whatever_the_chunks() {
    let long = "ä".repeat(35_000);
    let (first, second) = long.as_bytes().split_at(333);
    let bytes = [
        frame(true, TEXT, b"one"),
        frame(false, TEXT, first),
        frame(true, PING, b"between"),
        frame(false, 0, second),
        frame(true, 0, b""),
        frame(true, super::super::PONG, b""),
        frame(true, CLOSE, b"\x03\xe9bye"),
    ]
    .concat();
    let expected = vec![
        Received::Text(b"one".to_vec()),
        Received::Ping(b"between".to_vec()),
        Received::Text(long.clone().into_bytes()),
        Received::Pong,
        Received::Close(Some(1001)),
    ];
    for size in [1, 3, 4096, bytes.len()] {
        assert_eq!(receive(&bytes, size), (expected.clone(), None), "{size}");
    }
}

#[test]
fn what_breaks_the_protocol_is_named() {
    let unmasked = {
        let mut out = Vec::new();
        Header::of_server(TEXT, 1).write(&mut out);
        out.push(b'x');
        out
    };
    let mut compressed = frame(true, TEXT, b"x");
    compressed[0] |= 0x40;
    for (bytes, broken) in [
        (unmasked, Broken::Protocol),
        (compressed, Broken::Protocol),
        (frame(true, 0, b"x"), Broken::Protocol),
        (frame(true, 3, b"x"), Broken::Protocol),
        (frame(false, PING, b"x"), Broken::Protocol),
        (frame(true, PING, &[0; 126]), Broken::Protocol),
        (
            [frame(false, TEXT, b"x"), frame(true, TEXT, b"y")].concat(),
            Broken::Protocol,
        ),
        (frame(true, CLOSE, b"x"), Broken::Protocol),
        (frame(true, CLOSE, b"\x03\xed"), Broken::Protocol),
        (frame(true, CLOSE, b"\x03\xe8\xff"), Broken::NotUtf8),
        (frame(true, BINARY, b"x"), Broken::Binary),
        (frame(true, TEXT, b"\xff"), Broken::NotUtf8),
        (frame(true, TEXT, &[b'x'; 70_001]), Broken::TooLarge),
        (
            [frame(false, TEXT, &[b'x'; 70_000]), frame(true, 0, b"y")].concat(),
            Broken::TooLarge,
        ),
    ] {
        assert_eq!(receive(&bytes, 7), (Vec::new(), Some(broken)), "{bytes:?}");
    }
}

#[test]
fn a_close_without_a_code_is_fine() {
    let bytes = frame(true, CLOSE, b"");
    assert_eq!(receive(&bytes, 1), (vec![Received::Close(None)], None));
}

#[test]
fn any_bytes_are_survived() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..64).map(|_| random.u8(..)).collect();
        let (whole, pieces) = (receive(&bytes, 64), receive(&bytes, 1));
        assert_eq!(whole, pieces);
    }
}
