//! Takes the end of the process. Gives that open streams go on until the deadline, and probes say so meanwhile.
//! Never loses a byte of an answer that was read before the end.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;
use tests::fleet::Fleet;
use tests::http_client::HttpClient;
use tests::process::{PATIENCE, eventually};

use super::{
    PROGRESS, Upstream, begin_stream, call_once, hop, next_event, receiver, result, span_of, top,
};

fn wait_until_draining(fleet: &Fleet) {
    eventually("readyz to say 503", PATIENCE, || {
        let answer = fleet.ask("GET", "/readyz");
        (answer.status == 503).then_some(())
    });
}

#[test]
fn while_a_stream_is_open_the_end_waits_and_the_probes_say_so() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let config = top(&receiver, "drain_seconds = 600") + &hop("one", &upstream, "");
    let fleet = Fleet::start(&config);
    assert_eq!(fleet.ask("GET", "/readyz").status, 200);
    let mut client = fleet.connect("one");
    begin_stream(&mut client, 1);
    let mut stream = upstream.stream();
    fleet.signal(Signal::TERM);
    wait_until_draining(&fleet);
    assert_eq!(fleet.ask("GET", "/livez").status, 200);
    let address = fleet.hop("one");
    eventually("new connections to be refused", PATIENCE, || {
        HttpClient::connect(address).is_err().then_some(())
    });
    stream.event(PROGRESS);
    assert!(next_event(&mut client).contains("progress"));
    stream.event(&result(1));
    stream.end();
    assert!(next_event(&mut client).contains("result"));
    assert!(
        client
            .next_chunk()
            .expect("the end of the stream")
            .is_none()
    );
    let (summary, log) = fleet.wait();
    summary.assert_conserved();
    log.assert_none_at("WARN");
    let spans = receiver.wait_for_calls(1);
    assert_eq!(span_of(&spans, 1).text("toolspan.outcome"), "ok");
}

#[test]
fn a_kept_connection_ends_behind_its_exchange_and_holds_nobody_up() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let config = top(&receiver, "drain_seconds = 600") + &hop("one", &upstream, "");
    let fleet = Fleet::start(&config);
    let mut client = fleet.connect("one");
    call_once(&mut client, 1);
    let (summary, log) = fleet.stop();
    assert_eq!(summary.count("calls_exported"), 1);
    log.assert_none_at("WARN");
    assert!(client.read_to_end().expect("the end").is_empty());
}

#[test]
fn half_a_head_holds_the_end_up_no_more_than_an_idle_connection() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let top = top(
        &receiver,
        "drain_seconds = 600\nheader_timeout_seconds = 600",
    );
    let fleet = Fleet::start(&(top + &hop("one", &upstream, "")));
    let half = b"POST /mcp HTTP/1.1\r\nhost: localhost\r\n";
    let mut first = fleet.connect("one");
    first.send_raw(half).expect("it is read");
    let mut second = fleet.connect("one");
    call_once(&mut second, 1);
    second.send_raw(half).expect("it is read");
    let (summary, log) = fleet.stop();
    assert_eq!(summary.count("calls_exported"), 1);
    log.assert_none_at("WARN");
    for mut client in [first, second] {
        assert!(client.read_to_end().expect("the end").is_empty());
    }
}

/// The preface of HTTP/2, empty settings, and the beginning of a head of 16 bytes on stream 1.
const HALF_A_HEAD: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x10\x01\x04\0\0\0\x01\x82";

#[test]
fn half_a_head_of_http_2_holds_the_end_up_no_more_than_one_of_http_1() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let top = top(&receiver, "drain_seconds = 600");
    let fleet = Fleet::start(&(top + &hop("one", &upstream, "")));
    let mut client = TcpStream::connect(fleet.hop("one")).expect("the hop listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    client.write_all(HALF_A_HEAD).expect("it is read");
    let mut settings = [0; 9];
    client.read_exact(&mut settings).expect("it speaks HTTP/2");
    let (_, log) = fleet.stop();
    log.assert_none_at("WARN");
    let mut goodbye = Vec::new();
    client.read_to_end(&mut goodbye).expect("the end");
}

#[test]
fn at_the_deadline_open_streams_are_cut_and_their_calls_end_as_shutdown() {
    let (receiver, upstream) = (receiver(), Upstream::start());
    let config = top(&receiver, "drain_seconds = 1") + &hop("one", &upstream, "");
    let fleet = Fleet::start(&config);
    let mut client = fleet.connect("one");
    begin_stream(&mut client, 1);
    let mut stream = upstream.stream();
    stream.event(PROGRESS);
    fleet.signal(Signal::TERM);
    let (summary, log) = fleet.wait();
    assert!(next_event(&mut client).contains("progress"));
    assert!(client.next_chunk().is_err(), "the stream was cut");
    summary.assert_conserved();
    let cut = log.wait_for("ending with open streams");
    assert_eq!(cut["reason"], "the time to drain is over");
    let spans = receiver.wait_for_calls(1);
    assert_eq!(span_of(&spans, 1).text("toolspan.outcome"), "shutdown");
}

#[test]
fn a_second_signal_stops_at_once_though_the_collector_is_dead() {
    let upstream = Upstream::start();
    let (_bound, dead) = tests::otlp::dead_endpoint();
    let config = format!("otlp_endpoint = \"{dead}\"\ndrain_seconds = 600\n");
    let fleet = Fleet::start(&(config + &hop("one", &upstream, "")));
    let mut client = fleet.connect("one");
    begin_stream(&mut client, 1);
    let _open = upstream.stream();
    fleet.signal(Signal::TERM);
    wait_until_draining(&fleet);
    fleet.signal(Signal::INT);
    let (summary, log) = fleet.wait();
    summary.assert_conserved();
    assert_eq!(summary.count("dropped_shutdown"), 1);
    let cut = log.wait_for("ending with open streams");
    assert_eq!(cut["reason"], "a second signal");
}

#[test]
fn a_taken_port_fails_the_start_before_anybody_is_served() {
    let upstream = Upstream::start();
    let folder = tempfile::tempdir().expect("a scratch folder");
    let port_file = folder.path().join("port");
    // The upstream itself holds the address.
    let taken = &upstream.url()["http://".len()..];
    let first = hop(
        "one",
        &upstream,
        &format!("port_file = \"{}\"", port_file.display()),
    );
    let second = hop("two", &upstream, "");
    let second = second.replace("127.0.0.1:0", taken);
    let (code, stderr) = Fleet::spawn(&(first + &second)).refusal();
    assert_eq!(code, 2);
    assert!(
        stderr.contains(&format!("cannot listen on {taken}")),
        "{stderr}"
    );
    assert!(
        !port_file.exists(),
        "nobody may be told of a hop that does not serve"
    );
}
