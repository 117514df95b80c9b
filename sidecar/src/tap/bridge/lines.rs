//! Takes messages as bytes and the edits to them. Gives what a pipe needs: one message, one line.
//! Never changes a byte that no edit names, but for line ends between tokens, which become spaces.

use std::ops::Range;

use bytes::Bytes;

use crate::frame::line::Edit;
use crate::frame::{Message, Scanner, Slot};

/// A whole message or batch, scanned; none when it is no JSON.
pub(super) fn scan(bytes: &[u8]) -> Option<Scanner> {
    let mut scanner = Scanner::new();
    scanner.feed(bytes).ok()?;
    scanner.finish().ok()?;
    Some(scanner)
}

/// Where a message stands in its body.
pub(super) fn place(message: &Message<'_>) -> Range<usize> {
    let start = usize::try_from(message.start()).unwrap_or(usize::MAX);
    let bytes = usize::try_from(message.bytes()).unwrap_or(usize::MAX);
    start..start.saturating_add(bytes)
}

/// Where the value of a field stands in its body.
pub(super) fn range(message: &Message<'_>, slot: Slot) -> Range<usize> {
    let (start, end) = message.span(slot);
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    place(start)..place(end)
}

/// One message of a body as a line, in one copy. The edits stand in ascending order; those outside of it are not its own.
pub(super) fn line(body: &[u8], at: Range<usize>, edits: &[Edit]) -> Bytes {
    let mut line = Vec::with_capacity(at.len() + 256);
    for piece in pieces(body, at, edits) {
        line.extend_from_slice(piece);
    }
    // JSON allows line ends between tokens only, so what is replaced is white space.
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    line.into()
}

/// A range of a body with the edits that stand in it, in pieces.
pub(super) fn pieces<'a>(body: &'a [u8], at: Range<usize>, edits: &'a [Edit]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::with_capacity(2 * edits.len() + 1);
    let mut from = at.start;
    for edit in edits {
        if edit.at.start < from || edit.at.end > at.end {
            continue;
        }
        pieces.push(body.get(from..edit.at.start).unwrap_or_default());
        pieces.push(&edit.with);
        from = edit.at.end;
    }
    pieces.push(body.get(from..at.end).unwrap_or_default());
    pieces
}

/// A line of a child as one line for SSE too, where a bare CR ends a line.
pub(super) fn without_returns(line: Bytes) -> Bytes {
    if memchr::memchr(b'\r', &line).is_none() {
        return line;
    }
    let spaced = |byte: &u8| if *byte == b'\r' { b' ' } else { *byte };
    line.iter().map(spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pretty_message_becomes_one_line_and_keeps_its_strings() {
        let body = b"{\n  \"id\": 1,\r\n  \"method\": \"a\\nb\"\n}";
        let scanner = scan(body).unwrap();
        let message = scanner.messages().next().unwrap();
        let line = line(body, place(&message), &[]);
        assert_eq!(
            line,
            "{   \"id\": 1,    \"method\": \"a\\nb\" }\n".as_bytes()
        );
    }

    #[test]
    fn the_messages_of_a_batch_become_lines_with_their_own_edits() {
        let body = br#"[{"id":1,"method":"a"},{"id":2,"method":"b"}]"#;
        let scanner = scan(body).unwrap();
        let edits: Vec<Edit> = scanner
            .messages()
            .map(|message| {
                let at = place(&message).start + 1;
                Edit {
                    at: at..at,
                    with: b"\"x\":0,".to_vec(),
                }
            })
            .collect();
        let lines: Vec<Bytes> = scanner
            .messages()
            .map(|message| line(body, place(&message), &edits))
            .collect();
        assert_eq!(lines[0], "{\"x\":0,\"id\":1,\"method\":\"a\"}\n");
        assert_eq!(lines[1], "{\"x\":0,\"id\":2,\"method\":\"b\"}\n");
    }
}
