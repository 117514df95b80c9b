use super::*;

const MAX: usize = 256;

/// The same bytes in pieces of every size up to a whole.
fn every_cut(text: &str, check: impl Fn(Result<Owed, Refusal>)) {
    for piece in 1..=text.len().max(1) {
        let mut heads = Heads::new(MAX);
        let fed = text
            .as_bytes()
            .chunks(piece)
            .try_for_each(|bytes| heads.feed(bytes));
        check(fed.map(|()| heads.owed()).map_err(|refused| refused.why));
    }
}

#[test]
fn what_the_client_owes_is_known_however_it_is_cut() {
    for (text, owed) in [
        ("", Owed::Nothing),
        ("\r\n\r\n", Owed::Nothing),
        ("G", Owed::Head),
        ("GET / HTTP/1.1\r\nhost: a\r\n", Owed::Head),
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", Owed::Nothing),
        ("POST / HTTP/1.1\nContent-Length: 3\n\nab", Owed::Body),
        (
            "POST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length:3\r\n\r\nabc",
            Owed::Nothing,
        ),
        (
            "POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\naGET /",
            Owed::Head,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n",
            Owed::Body,
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            Owed::Nothing,
        ),
        (
            "GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n\x01\r\x02",
            Owed::Nothing,
        ),
        (
            "GET / HTTP/1.1\r\nupgrade: x, WebSocket\r\nupgrade: y\r\n\r\n\x01\r\x02",
            Owed::Nothing,
        ),
        (
            "POST / HTTP/1.1\r\nupgrade: websocket\r\ncontent-length: 3\r\n\r\nab",
            Owed::Body,
        ),
        (
            "POST / HTTP/1.1\r\nupgrade: websocket\r\ncontent-length: 3\r\n\r\nabc\x01\r\x02",
            Owed::Nothing,
        ),
    ] {
        every_cut(text, |found| assert_eq!(found, Ok(owed), "{text:?}"));
    }
}

#[test]
fn a_head_with_two_meanings_is_refused_however_it_is_cut() {
    for (fields, why) in [
        (
            "content-length: 1\r\ncontent-length: 2\r\n",
            Refusal::Length,
        ),
        (
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            Refusal::Length,
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
            Refusal::Length,
        ),
        ("content-length: +1\r\n", Refusal::Length),
        ("content-length: 1, 1\r\n", Refusal::Length),
        ("content-length:\r\n", Refusal::Length),
        ("content-length: 99999999999999999999\r\n", Refusal::Length),
        ("transfer-encoding: gzip, chunked\r\n", Refusal::Length),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            Refusal::Length,
        ),
        ("transfer-encoding: xchunked\r\n", Refusal::Length),
        ("x: a\rb\r\n", Refusal::BareReturn),
        ("x: a\r\r\n", Refusal::BareReturn),
    ] {
        let text = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        every_cut(&text, |found| assert_eq!(found, Err(why), "{text:?}"));
    }
    let second = "GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: x\r\n\r\n";
    every_cut(second, |found| assert_eq!(found, Err(Refusal::Length)));
}

#[test]
fn a_head_is_refused_when_it_grows_too_large() {
    let long = "x".repeat(MAX + 1);
    for text in [
        long.clone(),
        format!("GET /{long}"),
        format!("GET / HTTP/1.1\r\nhost: a\r\n{long}"),
        format!("GET / HTTP/1.1\r\nhost: {long}\r\n"),
    ] {
        every_cut(&text, |found| {
            assert_eq!(found, Err(Refusal::TooLarge), "{text:?}")
        });
    }
}

#[test]
fn what_goes_on_ends_before_the_line_that_is_wrong() {
    let text = "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n";
    let refused = Heads::new(MAX).feed(text.as_bytes()).unwrap_err();
    assert_eq!(&text[..refused.keep], "GET / HTTP/1.1\r\nhost: a\r\n");
}
