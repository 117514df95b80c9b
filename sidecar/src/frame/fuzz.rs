//! Takes any bytes. Gives nothing: it panics when a scanner breaks one of its promises.
//! Never part of the path: the entry points of the fuzz targets, beside the code they check.

use std::collections::VecDeque;

use bytes::Bytes;

use super::line::{Edit, Framer, Line, Observer};
use super::sse::{Event, EventEditor, EventStream};
use super::websocket::{MessageStream, Passed};
use super::{Kind, Message, Scanner};
use crate::record::TraceContext;
use crate::trace::context::{Carriers, parse_traceparent};
use crate::trace::{decide, plan};

type Seen = Vec<(Kind, u64, u64, Option<super::Id>)>;

fn seen(scanner: &Scanner) -> Seen {
    scanner
        .messages()
        .map(|m| (m.kind(), m.start(), m.bytes(), m.id()))
        .collect()
}

fn scan<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Scanner, bool) {
    let mut scanner = Scanner::new();
    let mut fine = true;
    for chunk in chunks {
        fine &= scanner.feed(chunk).is_ok();
    }
    fine &= scanner.finish().is_ok();
    (scanner, fine)
}

/// Chunks do not matter; after a splice the message is the same but for the context in it.
pub fn fuzz_jsonrpc(bytes: &[u8]) {
    let (whole, fine) = scan(std::iter::once(bytes));
    let (pieces, pieces_fine) = scan(bytes.chunks(3));
    assert_eq!(fine, pieces_fine, "chunks changed the verdict");
    if !fine {
        return;
    }
    assert!(std::str::from_utf8(bytes).is_ok(), "JSON that is not UTF-8");
    assert_eq!(seen(&whole), seen(&pieces), "chunks changed the messages");
    let mut random = fastrand::Rng::with_seed(7);
    for message in whole.messages().filter(|m| m.kind() == Kind::Request) {
        check_splice(bytes, &message, &mut random);
    }
}

fn check_splice(bytes: &[u8], message: &Message<'_>, random: &mut fastrand::Rng) {
    let decision = decide(&Carriers::default(), false, random);
    let Ok(edits) = plan(message, &decision) else {
        return;
    };
    let spliced = apply(bytes, &edits);
    let (after, fine) = scan(std::iter::once(spliced.as_slice()));
    assert!(fine, "a splice broke the JSON");
    let found = after.messages().any(|m| {
        let text = m.whole_text(super::Slot::Traceparent);
        text.and_then(|t| parse_traceparent(&t)) == Some::<TraceContext>(decision.outgoing)
    });
    assert!(found, "the spliced context cannot be read back");
}

fn apply(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    for edit in edits {
        out.extend_from_slice(
            bytes
                .get(at..edit.at.start)
                .expect("edits ascend inside the bytes"),
        );
        out.extend_from_slice(&edit.with);
        at = edit.at.end;
    }
    out.extend_from_slice(bytes.get(at..).expect("edits end inside the bytes"));
    out
}

struct Count(u64);

impl Observer for Count {
    fn line(&mut self, _: &Line<'_>) -> Vec<Edit> {
        self.0 += 1;
        Vec::new()
    }
}

/// Without edits every byte comes out as it went in, and each line that is not blank is seen once.
pub fn fuzz_lines(bytes: &[u8]) {
    let mut framer = Framer::new(64);
    let mut count = Count(0);
    let mut out = Vec::new();
    for chunk in bytes.chunks(7) {
        framer
            .space()
            .get_mut(..chunk.len())
            .expect("a read has room")
            .copy_from_slice(chunk);
        framer.advance(chunk.len(), &mut count);
        framer.segments().for_each(|s| out.extend_from_slice(s));
        framer.consume();
    }
    framer.end(&mut count);
    framer.segments().for_each(|s| out.extend_from_slice(s));
    assert_eq!(out, bytes, "bytes changed on their way");
    let lines = bytes
        .split(|&b| b == b'\n')
        .filter(|line| line.iter().any(|b| !b.is_ascii_whitespace()));
    assert_eq!(count.0, lines.count() as u64, "lines were missed");
}

/// Chunks do not matter; without edits every byte comes out as it went in, and edits come out in the same places.
pub fn fuzz_sse(bytes: &[u8]) {
    let run = |size: usize| {
        let mut stream = EventStream::new();
        let mut events = Vec::new();
        for chunk in bytes.chunks(size) {
            stream.feed(chunk, &mut |event| {
                events.push(match event {
                    Event::Messages(scanner) => (seen(scanner), Vec::new()),
                    Event::Malformed => (Vec::new(), b"malformed".to_vec()),
                    Event::Endpoint(uri) => (Vec::new(), uri.to_vec()),
                });
            });
        }
        (events, stream.resumable())
    };
    assert_eq!(run(usize::MAX), run(1), "chunks changed the events");
    assert_eq!(
        edited(bytes, 5, 16, b""),
        bytes,
        "bytes changed on their way"
    );
    let whole = edited(bytes, usize::MAX, usize::MAX, b"!");
    assert_eq!(
        whole,
        edited(bytes, 1, usize::MAX, b"!"),
        "chunks changed the edits"
    );
}

/// The stream after putting `mark` behind the first byte of every request.
fn edited(bytes: &[u8], size: usize, limit: usize, mark: &[u8]) -> Vec<u8> {
    let mut editor = EventEditor::new(limit);
    let mut out = VecDeque::new();
    for chunk in bytes.chunks(size) {
        let mut each = |event: Event<'_>, _| match event {
            Event::Messages(scanner) if !mark.is_empty() && !scanner.is_answer() => vec![Edit {
                at: 1..1,
                with: mark.to_vec(),
            }],
            _ => Vec::new(),
        };
        editor.feed(Bytes::copy_from_slice(chunk), &mut each, &mut out);
    }
    out.push_back(editor.finish());
    out.iter().flat_map(|piece| piece.iter().copied()).collect()
}

/// Chunks do not matter, and without edits every byte comes out as it went in.
pub fn fuzz_websocket(bytes: &[u8]) {
    let run = |size: usize, limit: usize| {
        let mut stream = MessageStream::new(limit);
        let (mut out, mut passed) = (Vec::new(), Vec::new());
        for chunk in bytes.chunks(size) {
            stream.feed(chunk, &mut |what| {
                passed.push(match what {
                    Passed::Text(line) | Passed::Compressed(line) => line.scanned.map(seen).ok(),
                    Passed::Unreadable | Passed::Close => None,
                });
                Vec::new()
            });
            out.extend_from_slice(stream.out());
        }
        out.extend_from_slice(stream.end());
        (out, passed)
    };
    let (whole, pieces) = (run(usize::MAX, 16), run(1, 16));
    assert_eq!(whole.1, pieces.1, "chunks changed the messages");
    assert_eq!(whole.0.len(), bytes.len(), "bytes were lost");
    // With nothing held, control frames cannot come out before the pieces of a message they stand between.
    assert_eq!(run(7, 0).0, bytes, "bytes changed on their way");
}
