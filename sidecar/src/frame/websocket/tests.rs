use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;

use super::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn frame(fin: bool, opcode: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        fin,
        compressed: false,
        opcode,
        mask: key,
        length: payload.len() as u64,
    };
    let (mut out, mut payload) = (Vec::new(), payload.to_vec());
    header.write(&mut out);
    if let Some(key) = key {
        mask(&mut payload, key, 0);
    }
    out.extend_from_slice(&payload);
    out
}

/// Puts `!` before each text that is held, and says what passed; the bytes that came out after each chunk.
fn run(chunks: &[&[u8]], limit: usize) -> (Vec<u8>, Vec<String>, Vec<usize>) {
    let (mut stream, mut seen) = (MessageStream::new(limit), Vec::new());
    let (mut out, mut steps) = (Vec::new(), Vec::new());
    for chunk in chunks {
        stream.feed(chunk, &mut |passed| {
            let (what, line) = match passed {
                Passed::Text(line) => ("text", Some(line)),
                Passed::Compressed(line) => ("compressed", Some(line)),
                Passed::Unreadable => ("unreadable", None),
                Passed::Close => ("close", None),
            };
            let fine = line.as_ref().is_some_and(|line| line.scanned.is_ok());
            let held = line.is_some_and(|line| line.held);
            let words = [(fine, " fine"), (held, " held")];
            let words = words.iter().filter(|word| word.0).map(|word| word.1);
            seen.push(what.to_owned() + &words.collect::<String>());
            let with = b"!".to_vec();
            Vec::from_iter(held.then_some(Edit { at: 0..0, with }))
        });
        out.extend_from_slice(stream.out());
        steps.push(out.len());
    }
    out.extend_from_slice(stream.end());
    (out, seen, steps)
}

#[test]
fn headers_of_every_length_are_read_as_they_were_written() {
    for length in [0, 1, 125, 126, 65535, 65536, (1 << 63) - 1] {
        for mask in [None, Some(KEY)] {
            let header = Header {
                fin: true,
                compressed: true,
                opcode: TEXT,
                mask,
                length,
            };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            let end = bytes.len();
            assert!(end <= LONGEST);
            assert_eq!(Header::parse(&bytes), Parsed::Header(header, end));
            assert_eq!(Header::parse(&bytes[..end - 1]), Parsed::Unfinished);
        }
    }
}

#[test]
fn what_is_no_frame_is_broken() {
    for bytes in [
        [0x83, 0],    // an opcode that means nothing
        [0x08, 0],    // a control frame in pieces
        [0xa1, 0],    // a bit that means nothing
        [0x89, 0x7e], // a control frame that is too long
    ] {
        let mut bytes = bytes.to_vec();
        bytes.extend_from_slice(&[0; 12]);
        assert_eq!(Header::parse(&bytes), Parsed::Broken, "{bytes:?}");
    }
}

#[test]
fn a_request_in_pieces_is_spliced_into_one_frame_and_a_ping_between_does_not_wait() {
    let mut bytes = frame(false, TEXT, Some(KEY), b"{\"method\":");
    bytes.extend(frame(true, 9, Some([1, 2, 3, 4]), b"ping"));
    bytes.extend(frame(true, CONTINUATION, Some([9, 8, 7, 6]), b"\"m\"}"));
    let mut expected = frame(true, 9, Some([1, 2, 3, 4]), b"ping");
    expected.extend(frame(true, TEXT, Some(KEY), b"!{\"method\":\"m\"}"));
    for size in 1..=bytes.len() {
        let chunks: Vec<_> = bytes.chunks(size).collect();
        let (out, seen, _) = run(&chunks, 1000);
        assert_eq!(
            (out, seen),
            (expected.clone(), vec!["text fine held".into()])
        );
    }
}

#[test]
fn what_is_no_request_goes_on_as_it_comes() {
    let answer = frame(true, TEXT, None, b"{\"result\":[1]}");
    let (head, tail) = answer.split_at(13);
    let (out, seen, steps) = run(&[head, tail], 1000);
    assert_eq!((&out, steps), (&answer, vec![13, 16]));
    assert_eq!(seen, ["text fine"]);
    let long = frame(true, TEXT, None, b"{\"method\":\"0123456789\"}");
    let (out, seen, steps) = run(&[&long[..20], &long[20..]], 16);
    assert_eq!((&out, steps), (&long, vec![20, long.len()]));
    assert_eq!(seen, ["text fine"]);
    let binary = frame(true, BINARY, None, b"\x00\x01");
    assert_eq!(run(&[&binary], 1000).0, binary);
    assert_eq!(run(&[&binary], 1000).1, ["unreadable"]);
}

#[test]
fn a_close_frame_is_told_and_comes_behind_what_was_held() {
    let mut bytes = frame(false, TEXT, None, b"{\"method\"");
    bytes.extend(frame(true, CLOSE, None, b"\x03\xe8bye"));
    let (out, seen, _) = run(&[&bytes], 1000);
    assert_eq!((out, seen), (bytes, vec!["close".into()]));
}

#[test]
fn what_is_no_websocket_passes_unread() {
    for start in [
        b"HTTP/1.1 nonsense".to_vec(),
        frame(true, CONTINUATION, None, b"of nothing"),
        [
            frame(false, TEXT, None, b"{"),
            frame(true, TEXT, None, b"{"),
        ]
        .concat(),
    ] {
        let bytes = [start, frame(true, TEXT, None, b"{\"method\":\"m\"}")].concat();
        for size in [1, 3, bytes.len()] {
            let chunks: Vec<_> = bytes.chunks(size).collect();
            let (out, seen, _) = run(&chunks, 1000);
            assert_eq!((out, seen), (bytes.clone(), vec!["unreadable".into()]));
        }
    }
}

/// Compressed messages, each leaning on the one before.
fn compressed(texts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    for text in texts {
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.flush().unwrap();
        let packed = std::mem::take(encoder.get_mut());
        let payload = packed.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap();
        let mut one = frame(true, TEXT, Some(KEY), payload);
        one[0] |= 0x40;
        bytes.extend(one);
    }
    bytes
}

#[test]
fn compressed_messages_are_read_and_left_as_they_are() {
    let texts = [
        "{\"id\":1,\"method\":\"ping\"}",
        "{\"id\":2,\"method\":\"ping\"}",
    ];
    let bytes = compressed(&texts);
    for size in [1, 5, bytes.len()] {
        let chunks: Vec<_> = bytes.chunks(size).collect();
        let (out, seen, _) = run(&chunks, 1000);
        assert_eq!(out, bytes);
        assert_eq!(seen, ["compressed fine", "compressed fine"]);
    }
    let mut broken = bytes;
    // A block of a kind that does not exist.
    broken[6] = 7 ^ KEY[0];
    assert_eq!(run(&[&broken], 1000).1, ["unreadable", "unreadable"]);
}

#[test]
fn a_message_that_would_grow_without_end_is_given_up() {
    let zeros = "0".repeat(17 * 1024 * 1024);
    let bytes = compressed(&[&zeros, "{}"]);
    assert!(bytes.len() < 100_000);
    let (out, seen, _) = run(&[&bytes], 1000);
    assert_eq!(out, bytes);
    assert_eq!(seen, ["unreadable", "unreadable"]);
}

proptest! {
    #[test]
    fn a_mask_is_put_on_in_any_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..100), cut in 0_usize..100) {
        let mut whole = bytes.clone();
        mask(&mut whole, KEY, 0);
        let (mut head, mut tail) = (bytes.clone(), bytes.clone().split_off(cut.min(bytes.len())));
        head.truncate(cut);
        mask(&mut head, KEY, 0);
        mask(&mut tail, KEY, head.len() as u64);
        head.extend(tail);
        prop_assert_eq!(&head, &whole);
        mask(&mut whole, KEY, 0);
        prop_assert_eq!(whole, bytes);
    }

    #[test]
    fn any_bytes_pass(bytes in proptest::collection::vec(
        prop_oneof![Just(0x81_u8), Just(0x01), Just(0x80), Just(0x89), Just(0xc1), Just(3), any::<u8>()], 0..300)) {
        crate::frame::fuzz_websocket(&bytes);
    }
}
