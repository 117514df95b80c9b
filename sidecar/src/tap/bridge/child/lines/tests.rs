use super::*;

fn feed(lines: &mut Lines, text: &str) -> Vec<Line> {
    lines.space().extend_from_slice(text.as_bytes());
    std::iter::from_fn(|| lines.next()).collect()
}

fn whole(text: &str) -> Line {
    Line::Whole(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn lines_come_out_whole_whatever_the_pieces() {
    let mut lines = Lines::new(100);
    assert_eq!(feed(&mut lines, "a"), []);
    assert_eq!(
        feed(&mut lines, "b\nc\r\n\n \nd"),
        [whole("ab"), whole("c")]
    );
    assert_eq!(feed(&mut lines, "\n"), [whole("d")]);
}

#[test]
fn a_line_that_is_too_long_is_told_once_and_passed_over() {
    let mut lines = Lines::new(4);
    assert_eq!(feed(&mut lines, "abc"), []);
    let beginning = Line::TooLong(Bytes::from_static(b"abcdef"));
    assert_eq!(feed(&mut lines, "def"), [beginning]);
    assert_eq!(feed(&mut lines, "ghi"), []);
    assert_eq!(feed(&mut lines, "jkl\nab\n"), [whole("ab")]);
    let at_once = Line::TooLong(Bytes::from_static(b"abcdef\n"));
    assert_eq!(feed(&mut lines, "abcdef\nxy\n"), [at_once, whole("xy")]);
}
