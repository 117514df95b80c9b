//! Takes two sidecars in a row: HTTP/1.1, then HTTP/2 over TLS, then HTTP/1.1. Gives that the ends notice nothing.
//! Never lets the middle be anything else: it is the only way through.

use tests::http_client::HttpClient;
use tests::http_peer::{Answer, HttpPeer};
use tests::otlp::{Mode, Receiver};
use tests::sidecar::argument;

use super::{KINDS, Keys, start};

#[test]
fn two_sidecars_in_a_row_are_one_trace_and_the_same_bytes() {
    let keys = Keys::default();
    let upstream = HttpPeer::start(|request| {
        if request.path == "/sse" {
            return Answer::sse(&[
                "id: 1\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n\n",
                ": bye\n\n",
            ]);
        }
        Answer::json(r#"{ "jsonrpc":"2.0","id":1,"result":{"b":1,"a":1.0} }"#)
    })
    .expect("a port");
    let receiver = Receiver::start(Mode::Accept);
    let export = ["--otlp-endpoint".to_owned(), receiver.grpc_url()];
    let folder = tempfile::TempDir::new().expect("a scratch folder");
    let [_, _, _, tls, _] = KINDS;
    let mut options = keys.listen(tls, folder.path());
    options.extend(export.clone());
    let second = start(&upstream.url(""), &options);
    let ca = keys.authority.file();
    let mut options = vec!["--upstream-ca".to_owned(), argument(&ca).to_owned()];
    options.extend(["--upstream-http".to_owned(), "2".to_owned()]);
    options.extend(export);
    let first = start(&format!("https://{}", second.listens_at()), &options);

    let mut client = HttpClient::connect(first.address()).expect("the sidecar listens");
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
    let answer = client
        .post("/mcp", &[("Cookie", "a=1; b=2")], call)
        .expect("an answer");
    assert_eq!(
        answer.text(),
        r#"{ "jsonrpc":"2.0","id":1,"result":{"b":1,"a":1.0} }"#
    );
    let call = br#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
    let answer = client.post("/sse", &[], call).expect("a stream");
    assert_eq!(
        answer.text(),
        "id: 1\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n\n: bye\n\n"
    );
    let arrived = upstream.wait_for_requests(2);
    assert_eq!(arrived[0].header("cookie"), Some("a=1; b=2"));
    assert_eq!(
        arrived[0].header("host"),
        Some(first.address().to_string().as_str())
    );

    let spans = receiver.wait_for_calls(4);
    let mut versions: Vec<_> = spans
        .iter()
        .map(|span| span.text("network.protocol.version"))
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, ["1.1", "1.1", "2", "2"]);
    for summary in [first.stop(), second.stop()] {
        summary.assert_conserved();
        assert_eq!(summary.count("calls_seen"), 2);
    }
}
