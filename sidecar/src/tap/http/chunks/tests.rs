use super::Chunks;

/// Reads a body in pieces of one size; gives the data, what was taken and where it stands.
fn read(body: &[u8], piece: usize) -> (Vec<u8>, usize, Chunks) {
    let (mut data, mut taken, mut chunks) = (Vec::new(), 0, Chunks::START);
    for bytes in body.chunks(piece) {
        taken += chunks.feed(bytes, |passed| data.extend_from_slice(passed));
    }
    (data, taken, chunks)
}

#[test]
fn the_data_is_the_same_however_the_bytes_are_cut() {
    let body = b"5\r\nhello\r\n00A;name=\"v\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    for piece in 1..=body.len() {
        let (data, taken, chunks) = read(body, piece);
        assert_eq!(data, b"hello0123456789");
        assert_eq!((taken, chunks), (body.len(), Chunks::Ended), "{piece}");
    }
}

#[test]
fn what_follows_the_end_is_not_of_the_body() {
    let (data, taken, chunks) = read(b"1\r\na\r\n0\r\n\r\nHTTP/1.1 200", 100);
    assert_eq!(data, b"a");
    assert_eq!((taken, chunks), (11, Chunks::Ended));
}

#[test]
fn only_whole_chunks_leave_us_between_two() {
    let body = b"2\r\nab\r\n3\r\nabc\r\n";
    let between: Vec<usize> = (0..=body.len())
        .filter(|cut| read(&body[..*cut], 100).2.is_between())
        .collect();
    assert_eq!(between, [0, 7, 15]);
}

#[test]
fn what_is_no_chunk_is_broken_and_stays_so() {
    for body in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "2\n",
        "2\r\nabc",
        "1;a\nb",
        "1\r\na\n",
        "0\r\n\n",
        "ffffffffffffffffff\r\n",
    ] {
        let (_, _, mut chunks) = read(body.as_bytes(), 100);
        assert_eq!(chunks, Chunks::Broken, "{body:?}");
        assert_eq!(chunks.feed(b"1\r\n", |_| {}), 0);
    }
}
