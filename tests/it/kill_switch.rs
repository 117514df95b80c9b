//! Takes `TOOLSPAN_DISABLED=1`. Gives that the sidecar relays and does nothing else.
//! Never expects an export: the receiver must stay empty.

use std::io::{Read, Write};

use tests::generate::{From, Generator, Whitespace};
use tests::http_client::HttpClient;
use tests::http_peer::{Answer, HttpPeer};
use tests::otlp::{Mode, Receiver};
use tests::process::Guarded;
use tests::programs;
use tests::sidecar::{Log, Proxy, argument, stdio_command};

#[test]
fn over_stdio_every_byte_passes_and_nothing_is_exported() {
    let receiver = Receiver::start(Mode::Accept);
    let url = receiver.grpc_url();
    let folder = tempfile::tempdir().expect("a scratch folder");
    let record = folder.path().join("record");
    let mut generator = Generator::new(7, Whitespace::WithinLine);
    let mut sent = Vec::new();
    for _ in 0..2_000 {
        sent.extend_from_slice(&generator.next(From::Client));
        sent.push(b'\n');
    }
    let replay = folder.path().join("replay");
    std::fs::write(&replay, &sent).expect("a file in the scratch folder");
    let server = programs::own("scripted-server");
    let log = Log::default();
    let mut command = stdio_command(
        &log,
        &["--otlp-endpoint", &url],
        &[argument(&server), argument(&record), argument(&replay)],
    );
    command.env("TOOLSPAN_DISABLED", "1");
    let mut process = Guarded::spawn(&mut command).expect("the sidecar starts");
    let mut stdin = process.take_stdin().expect("its input is a pipe");
    let mut stdout = process.take_stdout().expect("its output is a pipe");
    let all = sent.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&all));
    let mut arrived = Vec::new();
    stdout.read_to_end(&mut arrived).expect("its output");
    writer.join().expect("the writer ends").expect("it reads");
    assert_eq!(process.wait().code(), Some(0));
    assert!(
        std::fs::read(&record).expect("the record") == sent,
        "to the server"
    );
    assert!(arrived == sent, "to the client");
    assert_eq!(receiver.received().attempts, 0);
}

#[test]
fn over_stdio_the_exit_code_is_the_childs() {
    let log = Log::default();
    let mut command = stdio_command(&log, &[], &["sh", "-c", "exit 7"]);
    command.env("TOOLSPAN_DISABLED", "1");
    let mut process = Guarded::spawn(&mut command).expect("the sidecar starts");
    assert_eq!(process.wait().code(), Some(7));
}

#[test]
fn over_http_every_byte_passes_and_nothing_is_exported() {
    let receiver = Receiver::start(Mode::Accept);
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let upstream = HttpPeer::start(move |_| Answer::json(answer)).expect("a port on loopback");
    let proxy = Proxy::start_with(
        &upstream.url(""),
        &["--otlp-endpoint", &receiver.grpc_url()],
        &[("TOOLSPAN_DISABLED", "1")],
    );
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let response = client.post("/mcp?a=b", &[], call).expect("an answer");
    assert_eq!(response.text(), answer);
    let [request] = upstream.take_requests().try_into().expect("one request");
    assert_eq!(request.body, call);
    assert_eq!(request.path, "/mcp?a=b");
    assert_eq!(request.header("traceparent"), None);
    drop(proxy);
    assert_eq!(receiver.received().attempts, 0);
}

/// Whose a call is matters to nobody then, so its files may be as broken as what one switches us off for.
#[test]
fn over_http_no_file_of_tenants_is_needed() {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let upstream = HttpPeer::start(move |_| Answer::json(answer)).expect("a port on loopback");
    let env = [
        ("TOOLSPAN_DISABLED", "1"),
        ("TOOLSPAN_TENANT_FROM", "jwt:org,token"),
        ("TOOLSPAN_JWT_KEYS_FILE", "/no/such/keys"),
        ("TOOLSPAN_TOKENS_FILE", "/no/such/tokens"),
    ];
    let proxy = Proxy::start_with(&upstream.url(""), &[], &env);
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    let response = client.post("/mcp", &[], b"{}").expect("an answer");
    assert_eq!(response.text(), answer);
}

#[test]
fn over_http_probes_are_answered_all_the_same() {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let upstream = HttpPeer::start(move |_| Answer::json(answer)).expect("a port on loopback");
    let proxy = Proxy::start_with(
        &upstream.url(""),
        &["--admin", "127.0.0.1:0"],
        &[("TOOLSPAN_DISABLED", "1")],
    );
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    client.post("/mcp", &[], b"{}").expect("an answer");
    let line = proxy.log.wait_for("admin listening");
    let admin = line["address"].as_str().expect("an address").parse();
    for (path, status, text) in [
        ("/readyz", 200, "ready"),
        ("/metrics", 200, "toolspan_messages_total 0\n"),
        ("/calls", 200, "{\"total\":0,\"newest\":[]}"),
    ] {
        let mut admin =
            HttpClient::connect(*admin.as_ref().expect("an address")).expect("it listens");
        let answer = admin.send("GET", path, &[], b"").expect("an answer");
        assert_eq!(answer.status, status);
        assert!(answer.text().contains(text), "{}", answer.text());
    }
}
