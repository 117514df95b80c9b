use super::*;
use crate::frame::{Id, Kind};

fn feed(lines: &mut Lines, text: &str) -> Vec<Line> {
    lines.space().extend_from_slice(text.as_bytes());
    std::iter::from_fn(|| lines.next()).collect()
}

/// The lines that came out, and the sizes of those that did not.
fn told(lines: &[Line]) -> Vec<Result<&str, u64>> {
    let told = lines.iter().map(|line| match line {
        Line::Whole(text) => Ok(std::str::from_utf8(text).unwrap()),
        Line::TooLong(skipped) => Err(skipped.bytes),
    });
    told.collect()
}

#[test]
fn lines_come_out_whole_whatever_the_pieces() {
    let mut lines = Lines::new(100);
    assert_eq!(told(&feed(&mut lines, "a")), []);
    let more = feed(&mut lines, "b\nc\r\n\n \nd");
    assert_eq!(told(&more), [Ok("ab"), Ok("c")]);
    assert_eq!(told(&feed(&mut lines, "\n")), [Ok("d")]);
}

#[test]
fn a_line_that_is_too_long_is_told_once_and_passed_over() {
    let mut lines = Lines::new(4);
    for text in ["abc", "def", "ghi"] {
        assert_eq!(told(&feed(&mut lines, text)), []);
        assert!(lines.buffer.len() <= 4, "{lines:?}");
    }
    let ended = feed(&mut lines, "jkl\nab\n");
    assert_eq!(told(&ended), [Err(13), Ok("ab")]);
    let at_once = feed(&mut lines, "abcdef\nxy\n");
    assert_eq!(told(&at_once), [Err(7), Ok("xy")]);
}

#[test]
fn of_a_line_that_is_too_long_it_is_known_what_it_was() {
    let text = r#"{"result":{"id":7,"x":"xxxxxxxxxxxxxxxx"},"id":1,"jsonrpc":"2.0","id":"last"}"#;
    for size in [1, 3, 1000] {
        let mut lines = Lines::new(10);
        let pieces = text.as_bytes().chunks(size);
        for piece in pieces {
            assert_eq!(
                feed(&mut lines, std::str::from_utf8(piece).unwrap()).len(),
                0
            );
        }
        let mut ended = feed(&mut lines, "\n");
        let Some(Line::TooLong(skipped)) = ended.pop() else {
            panic!("{ended:?}");
        };
        let scanner = skipped.scanned.unwrap();
        let message = scanner.messages().next().unwrap();
        assert_eq!(message.kind(), Kind::Response);
        assert_eq!(message.id(), Some(Id::String("last".into())));
    }
    let ended = feed(&mut Lines::new(4), "{\"id\":1,\"result\":\n");
    let [Line::TooLong(skipped)] = &ended[..] else {
        panic!("{ended:?}");
    };
    assert!(skipped.scanned.is_err(), "{skipped:?}");
}
