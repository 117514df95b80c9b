use super::*;
use proptest::prelude::*;

/// Inserts `!` before each held line and remembers what it saw.
#[derive(Default)]
struct Mark {
    seen: Vec<(bool, bool)>,
}

impl Observer for Mark {
    fn line(&mut self, line: &Line<'_>) -> Vec<Edit> {
        self.seen.push((line.scanned.is_ok(), line.held));
        vec![Edit {
            at: 0..0,
            with: b"!".to_vec(),
        }]
    }
}

fn run(chunks: &[&[u8]], max_hold: usize) -> (Vec<u8>, Vec<(bool, bool)>) {
    let (mut framer, mut mark, mut out) = (Framer::new(max_hold), Mark::default(), Vec::new());
    for chunk in chunks {
        framer.space()[..chunk.len()].copy_from_slice(chunk);
        framer.advance(chunk.len(), &mut mark);
        framer.segments().for_each(|s| out.extend_from_slice(s));
        framer.consume();
    }
    framer.end(&mut mark);
    framer.segments().for_each(|s| out.extend_from_slice(s));
    (out, mark.seen)
}

#[test]
fn a_line_is_held_until_it_is_complete() {
    let (out, seen) = run(&[b"{\"method\":", b"\"a\"}", b"\n\r\n{}"], 1024);
    assert_eq!(out, b"!{\"method\":\"a\"}\n\r\n!{}");
    assert_eq!(seen, [(true, true), (true, true)]);
}

#[test]
fn an_answer_a_long_line_and_no_json_stream_through() {
    let (out, seen) = run(&[b"{\"result\":1", b"}\n"], 1024);
    assert_eq!(
        (out.as_slice(), seen),
        (&b"{\"result\":1}\n"[..], vec![(true, false)])
    );
    let (out, seen) = run(&[b"{\"method\":\"0123456789", b"\"}\n"], 8);
    assert_eq!((out.len(), seen), (24, vec![(true, false)]));
    let (out, seen) = run(&[b"Listening on ", b"port 1\n{}\n"], 1024);
    assert_eq!(out, b"Listening on port 1\n!{}\n");
    assert_eq!(seen, [(false, false), (true, true)]);
}

#[test]
fn many_lines_in_one_read_become_one_segment_when_nothing_is_spliced() {
    let mut framer = Framer::new(1024);
    struct Nothing;
    impl Observer for Nothing {
        fn line(&mut self, _: &Line<'_>) -> Vec<Edit> {
            Vec::new()
        }
    }
    let text = b"{}\n{}\n{}\n{}";
    framer.space()[..text.len()].copy_from_slice(text);
    framer.advance(text.len(), &mut Nothing);
    assert_eq!(framer.segments().collect::<Vec<_>>(), [b"{}\n{}\n{}\n"]);
}

proptest! {
    #[test]
    fn bytes_are_forwarded_as_they_came(bytes in proptest::collection::vec(
        proptest::sample::select(b"{}[]\":,a1\n\r \\".to_vec()), 0..400)) {
        crate::frame::fuzz_lines(&bytes);
    }
}
