use std::collections::VecDeque;

use super::*;
use proptest::prelude::*;

fn run(text: &str) -> (Vec<String>, bool) {
    let mut stream = EventStream::new();
    let mut events = Vec::new();
    stream.feed(text.as_bytes(), &mut |event| {
        events.push(match event {
            Event::Messages(scanner) => format!("messages {}", scanner.messages().count()),
            Event::Malformed => "malformed".into(),
            Event::Endpoint(uri) => format!("endpoint {}", String::from_utf8_lossy(uri)),
        });
    });
    (events, stream.resumable())
}

#[test]
fn events_are_told_apart() {
    let text = "\u{feff}: hello\r\n\r\nid: 1\ndata:\n\nevent: message\rdata: {\"id\":1,\rdata: \"result\":{}}\r\r\
                retry: 3\n\nevent: endpoint\ndata: /message?s=1\n\ndata: no json\n\ndata\n\ndata: {}";
    let (events, resumable) = run(text);
    assert_eq!(
        events,
        [
            "messages 1",
            "endpoint /message?s=1",
            "malformed",
            "malformed"
        ]
        .map(String::from)[..3]
    );
    assert!(resumable);
}

#[test]
fn an_event_that_is_cut_off_is_no_event() {
    assert_eq!(
        run("data: {\"id\":1,\"result\":{}}\n").0,
        Vec::<String>::new()
    );
}

proptest! {
    #[test]
    fn chunks_do_not_matter(bytes in proptest::collection::vec(
        proptest::sample::select(b"data: event:id\n\r{}\"[]\xef\xbb\xbf1".to_vec()), 0..300)) {
        crate::frame::fuzz_sse(&bytes);
    }
}

/// Puts `!` before the data of each request that is still whole, and says which events it saw.
fn edit(chunks: &[&[u8]], limit: usize) -> (Vec<u8>, Vec<bool>, Vec<usize>) {
    let (mut editor, mut out, mut seen) = (EventEditor::new(limit), VecDeque::new(), Vec::new());
    let (mut bytes, mut steps) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let mut each = |event: Event<'_>, here: bool| {
            seen.push(here);
            let request = matches!(event, Event::Messages(s) if !s.is_answer());
            let with = b"!".to_vec();
            let at = 0..0;
            request.then_some(Edit { at, with }).into_iter().collect()
        };
        editor.feed(bytes::Bytes::copy_from_slice(chunk), &mut each, &mut out);
        out.drain(..)
            .for_each(|piece| bytes.extend_from_slice(&piece));
        steps.push(bytes.len());
    }
    bytes.extend_from_slice(&editor.finish());
    (bytes, seen, steps)
}

#[test]
fn a_request_in_an_event_is_edited_and_nothing_else_waits_or_changes() {
    let stream: &[u8] =
        b": hi\r\nid: 1\nretry: 5\ndata:\n\nevent: message\nid: 2\ndata: {\"id\":1,\"method\":\"m\"}\n\ndata: {\"id\":1,\"result\":{}}\n\n";
    let expected: &[u8] =
        b": hi\r\nid: 1\nretry: 5\ndata:\n\nevent: message\nid: 2\ndata: !{\"id\":1,\"method\":\"m\"}\n\ndata: {\"id\":1,\"result\":{}}\n\n";
    for size in 1..=stream.len() {
        let chunks: Vec<_> = stream.chunks(size).collect();
        let (bytes, _, _) = edit(&chunks, 1000);
        assert_eq!(bytes, expected, "in chunks of {size}");
    }
}

#[test]
fn only_the_data_of_an_undecided_event_is_held() {
    let (_, seen, steps) = edit(
        &[
            b"id: 7\ndata: {\"method\"",
            b":\"m\"}",
            b"\n\n",
            b"data: {\"result\":[",
            b"1",
        ],
        1000,
    );
    assert_eq!(seen, [true]);
    // Everything before the data goes at once; an answer is never held.
    assert_eq!(steps, [12, 12, 29, 46, 47]);
    let (bytes, seen, steps) = edit(&[b"data: {\"method\":", b"\"0123456789\"}\n\n"], 8);
    assert_eq!((bytes.len(), seen, steps), (31, vec![false], vec![16, 31]));
}

#[test]
fn an_edit_finds_its_place_in_data_of_several_lines() {
    let mut editor = EventEditor::new(1000);
    let mut out = VecDeque::new();
    let stream = bytes::Bytes::from_static(b"data: {\ndata:\ndata:\"method\":\ndata: \"m\"}\n\n");
    // The data is `{`, an empty line, `"method":` and `"m"}`: insert behind the brace, replace the name across lines.
    let mut each = |_: Event<'_>, _| {
        [(1..1, "A"), (3..16, "B")]
            .map(|(at, with)| Edit {
                at,
                with: with.into(),
            })
            .to_vec()
    };
    editor.feed(stream, &mut each, &mut out);
    let text: Vec<u8> = out.iter().flat_map(|piece| piece.iter().copied()).collect();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "data: {A\ndata:\ndata:B}\n\n"
    );
}

#[test]
fn the_uri_of_an_endpoint_event_can_be_replaced() {
    let stream = b"event: endpoint\r\ndata: /a?s=1\r\n\r\n";
    for size in 1..=stream.len() {
        let mut editor = EventEditor::new(1000);
        let mut out = VecDeque::new();
        for chunk in stream.chunks(size) {
            let mut each = |event: Event<'_>, here| {
                assert!(here && matches!(event, Event::Endpoint(b"/a?s=1")));
                vec![Edit {
                    at: 0..6,
                    with: b"/b".to_vec(),
                }]
            };
            editor.feed(bytes::Bytes::copy_from_slice(chunk), &mut each, &mut out);
        }
        let text: Vec<u8> = out.iter().flat_map(|piece| piece.iter().copied()).collect();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "event: endpoint\r\ndata: /b\r\n\r\n"
        );
    }
}
