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
