//! Takes clients that are not who began a session, or no clients at all. Gives that none reaches another's child.
//! Never learns from an answer whether there is a session: another's is none.

use tests::kernel::{peak, reset_peak};
use tests::websocket::{End, Frame, TEXT};
use tests::wire::Version;
use tests::wire::certs::{Authority, Identity};
use tests::wire::client::Client as TlsClient;

use super::modern::{modern, tool};
use super::*;
use crate::tenants::Issuer;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

impl World {
    /// How often the command runs.
    fn children(&self) -> usize {
        let path = format!("/proc/{0}/task/{0}/children", self.proxy.id());
        let text = std::fs::read_to_string(path).expect("the sidecar runs");
        text.split_whitespace().count()
    }

    /// What a session answers a client with these headers.
    fn status(&self, session: &Client, headers: &[(&str, &str)]) -> u16 {
        let client = Client {
            headers: session.headers[..2].to_vec(),
            ..self.client()
        };
        let mut client = headers
            .iter()
            .fold(client, |client, (name, value)| client.with(name, value));
        client.post(LIST).status
    }
}

/// A bridge that takes only clients of an authority.
fn behind_tls(authority: &Authority) -> World {
    let ours = authority.issue("ours", &["localhost"]);
    let ca = authority.file();
    let files = [
        ("--tls-cert", &ours.cert),
        ("--tls-key", &ours.key),
        ("--tls-client-ca", &ca),
    ];
    let options: Vec<&str> = files
        .iter()
        .flat_map(|(flag, file)| [*flag, argument(file)])
        .collect();
    World::start(&options, &[])
}

fn post(
    world: &World,
    (authority, identity): (&Authority, &Identity),
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Option<String>, String) {
    let tls = authority.client(Version::Two, Some(identity));
    let client = TlsClient::connect(world.proxy.listens_at(), Version::Two, Some(tls));
    let accept = [("accept", "application/json, text/event-stream")];
    let (answer, body) = client
        .expect("it is let in")
        .post("/mcp", &[&accept, headers].concat(), body)
        .expect("an answer");
    let session = answer.headers.get("mcp-session-id");
    let session = session.map(|id| id.to_str().expect("an id").to_owned());
    let body = String::from_utf8(body).expect("text");
    (answer.status.as_u16(), session, body)
}

#[test]
fn clients_with_different_certificates_share_no_child_and_no_session() {
    let authority = Authority::default();
    let world = behind_tls(&authority);
    let [one, renewed, other] = [
        ("one", "client"),
        ("renewed", "client"),
        ("other", "another"),
    ]
    .map(|(file, name)| authority.issue(file, &[name]));
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "pid"),
    ];
    let body = tool(&json!(1), "pid");
    let child = |who: &Identity| post(&world, (&authority, who), &headers, &body).2;
    assert_eq!(child(&one), child(&one));
    assert_ne!(child(&one), child(&other));
    assert_ne!(
        child(&one),
        child(&renewed),
        "a shared child is for one certificate"
    );
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}}});
    let (status, id, _) = post(&world, (&authority, &one), &[], &initialize.to_string());
    assert_eq!(status, 200);
    let id = id.expect("a session");
    let session = [("mcp-session-id", id.as_str())];
    assert_eq!(post(&world, (&authority, &one), &session, LIST).0, 200);
    assert_eq!(post(&world, (&authority, &renewed), &session, LIST).0, 200);
    assert_eq!(post(&world, (&authority, &other), &session, LIST).0, 404);
}

/// `{"iss":"https://issuer","sub":"alice","exp":1}`, the same renewed, and one for bob.
const ALICE: &str =
    "Bearer e30.eyJpc3MiOiJodHRwczovL2lzc3VlciIsInN1YiI6ImFsaWNlIiwiZXhwIjoxfQ.c2ln";
const RENEWED: &str =
    "Bearer e30.eyJpc3MiOiJodHRwczovL2lzc3VlciIsInN1YiI6ImFsaWNlIiwiZXhwIjoyfQ.c2ln";
const BOB: &str = "Bearer e30.eyJpc3MiOiJodHRwczovL2lzc3VlciIsInN1YiI6ImJvYiIsImV4cCI6MX0.c2ln";

#[test]
fn a_session_is_not_found_by_anybody_but_who_began_it() {
    let world = World::start(&["--tenant-from", "header:x-tenant"], &[]);
    let session = world
        .client()
        .with("x-tenant", "acme")
        .with("authorization", ALICE);
    let mut session = session.initialize("2025-06-18");
    // The session's own headers first: what else a client says is up to the test.
    session.headers.rotate_left(2);
    let acme = ("x-tenant", "acme");
    for (headers, status) in [
        (&[acme, ("authorization", ALICE)][..], 200),
        (&[acme, ("authorization", RENEWED)], 200),
        (&[acme, ("authorization", BOB)], 404),
        (&[acme, ("authorization", "Bearer opaque")], 404),
        (&[acme], 404),
        (&[("authorization", ALICE)], 404),
        (&[("x-tenant", "globex"), ("authorization", ALICE)], 404),
    ] {
        assert_eq!(world.status(&session, headers), status, "{headers:?}");
    }
    let id = session.headers[0].1.clone();
    let named = [("mcp-session-id", &*id), ("accept", "text/event-stream")];
    assert_eq!(world.client().send("GET", "/mcp", &named).status, 404);
    assert_eq!(world.client().send("DELETE", "/mcp", &named).status, 404);
    assert_eq!(session.send("DELETE", "/mcp", &[]).status, 200);
}

#[test]
fn a_session_goes_on_with_tokens_that_say_nothing() {
    let world = World::start(&[], &[]);
    let session = world.client().initialize("2025-06-18");
    let (first, second) = (("authorization", "Bearer 1"), ("authorization", "Bearer 2"));
    assert_eq!(world.status(&session, &[]), 200);
    assert_eq!(world.status(&session, &[first]), 200, "asked for since");
    assert_eq!(world.status(&session, &[second]), 200, "renewed");
    assert_eq!(world.status(&session, &[]), 404, "nobody in particular");
}

#[test]
fn a_stream_of_http_sse_takes_messages_of_its_own_client_only() {
    let world = World::start(&["--tenant-from", "header:x-tenant"], &[]);
    let mut stream = world.client().with("x-tenant", "acme");
    stream.begin("GET", "/sse", &[], "");
    let endpoint = stream.event().expect("an endpoint").data;
    let post = |headers: &[(&str, &str)]| {
        let mut http = world.client().http;
        let answer = http.post(&endpoint, headers, LIST.as_bytes());
        answer.expect("an answer").status
    };
    assert_eq!(post(&[("x-tenant", "globex")]), 404);
    assert_eq!(post(&[]), 404);
    assert_eq!(post(&[("x-tenant", "acme")]), 202);
    assert_eq!(stream.event().expect("an answer").json()["id"], 1);
}

/// Images, frames and links are loaded without an `Origin`.
/// A gateway may put its own baggage beside that of the client; the message's is what counts.
#[test]
fn a_session_is_found_by_the_tenant_of_its_messages() {
    let world = World::start(&["--tenant-from", "baggage:tenant.id"], &[]);
    let named = |id: u64, method: &str, tenant: &str| {
        let baggage = format!("tenant.id={tenant}");
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "scripted", "version": "1"},
            "_meta": {"baggage": baggage}}})
        .to_string()
    };
    let gateway = || world.client().with("baggage", "tenant.id=gateway");
    let answer = gateway().post(&named(0, "initialize", "acme"));
    let id = answer.header("mcp-session-id").expect("a session");
    let mut session = gateway().with("mcp-session-id", id);
    assert_eq!(session.post(&named(1, "tools/list", "acme")).status, 200);
    assert_eq!(session.post(&named(2, "tools/list", "globex")).status, 404);
    let mut stream = gateway();
    stream.begin("GET", "/sse", &[], "");
    let endpoint = stream.event().expect("an endpoint").data;
    let post = |tenant: &str| {
        let body = named(1, "tools/list", tenant);
        let baggage = [("baggage", "tenant.id=elsewhere")];
        let answer = world
            .client()
            .http
            .post(&endpoint, &baggage, body.as_bytes());
        answer.expect("an answer").status
    };
    assert_eq!(post("globex"), 404);
    assert_eq!(post("gateway"), 202);
}

#[test]
fn a_page_of_another_site_starts_no_command() {
    let world = World::start(&[], &[]);
    let events = ("accept", "text/event-stream");
    for site in ["cross-site", "same-site"] {
        let headers = [events, ("sec-fetch-site", site)];
        let refused = world.client().http.begin("GET", "/sse", &headers, b"");
        let refused = refused.expect("an answer");
        assert!(refused.start_line.contains(" 403 "), "{site}: {refused:?}");
        assert_eq!(refused.header("content-length"), Some("0"));
        let refused = End::connect(world.proxy.address(), "/ws", &headers[1..]);
        let refused = refused.expect("an answer").head.start_line;
        assert!(refused.contains(" 403 "), "{refused}");
    }
    let page = [("accept", "text/html,application/xml;q=0.9,*/*;q=0.8")];
    assert_eq!(world.client().send("GET", "/sse", &page).status, 406);
    assert_eq!(world.children(), 0);
    let site = ("sec-fetch-site", "same-origin");
    for headers in [&[("accept", "*/*")][..], &[], &[events, site]] {
        let mut client = world.client();
        let head = client.http.begin("GET", "/sse", headers, b"");
        let head = head.expect("an answer").start_line;
        assert!(head.contains(" 200 "), "{headers:?}: {head}");
    }
    let (summary, _) = world.proxy.stop_and_keep_log();
    assert_eq!(summary.count("clients_refused"), 4);
}

#[test]
fn a_session_that_nobody_knows_costs_no_memory() {
    let world = World::start(&[], &[]);
    let text = "x".repeat(32 << 20);
    let body = call(&json!(1), "line", &json!({"text": text}));
    let id = "0".repeat(32);
    let sse = format!("/message?sessionId={id}");
    reset_peak(world.proxy.id());
    let before = peak(world.proxy.id());
    for (path, headers) in [
        ("/mcp", &[("mcp-session-id", &*id)][..]),
        ("/message", &[]),
        (&*sse, &[]),
    ] {
        let answer = world.client().http.post(path, headers, body.as_bytes());
        assert_eq!(answer.expect("an answer").status, 404, "{path}");
    }
    let grown = peak(world.proxy.id()) - before;
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
}

/// What needs no child is answered before one is taken.
#[test]
fn what_no_child_hears_starts_none() {
    let world = World::start(&[], &[]);
    let headers = [("mcp-protocol-version", "2026-07-28")];
    let mut client = headers
        .iter()
        .fold(world.client(), |client, (name, value)| {
            client.with(name, value)
        });
    for method in ["notifications/cancelled", "notifications/initialized"] {
        let note = json!({"jsonrpc": "2.0", "method": method, "params": {"requestId": 1}});
        assert_eq!(client.post(&note.to_string()).status, 202);
    }
    let unknown = modern(&json!(1), "initialize", &json!({}));
    assert_eq!(client.post(&unknown).status, 404);
    assert_eq!(world.children(), 0);
}

/// A caller with a credential of its own, and its child.
fn child_of(world: &World, credential: &str) -> u32 {
    let caller = world.caller("pid").with("authorization", credential);
    pid_in(&{ caller }.post(&tool(&json!(1), "pid")))
}

fn pid_in(answer: &Response) -> u32 {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let pid = messages(answer)[0]["result"]["pid"].as_u64();
    u32::try_from(pid.expect("a process")).expect("a process id")
}

/// A child between two requests of a client that is at work is of use, too; how long for, and which one gives way when
/// none is, is tested without the wait.
#[test]
fn no_child_gives_way_that_is_in_use_or_was_just_now() {
    let world = World::start(&[], &[("TOOLSPAN_MAX_SESSIONS", "3")]);
    let params = json!({"name": "hold", "_meta": {"progressToken": "t"}});
    let body = modern(&json!("held"), "tools/call", &params);
    let mut held = world.caller("hold").with("authorization", "Bearer busy");
    held.begin("POST", "/mcp", &[], &body);
    assert!(held.event().is_some());
    let mut session = world.client().initialize("2025-06-18");
    let used = child_of(&world, "Bearer used");
    let late = || {
        let mut late = world.caller("pid").with("authorization", "Bearer late");
        late.post(&tool(&json!(1), "pid")).status
    };
    assert_eq!(late(), 503);
    assert_eq!(child_of(&world, "Bearer used"), used);
    assert_eq!(world.children(), 3);
    assert_eq!(session.send("DELETE", "/mcp", &[]).status, 200);
    assert_eq!(late(), 200, "it waits for the place");
    assert_eq!(child_of(&world, "Bearer used"), used);
}

/// Reads one line, and no more.
const DEAF: &str = r#"read -r line; printf '%s\n' "$INITIALIZED"; while :; do sleep 1; done"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}"#;

#[test]
fn what_waits_for_commands_that_do_not_read_has_a_bound() {
    let env = [
        ("INITIALIZED", INITIALIZED),
        ("TOOLSPAN_MAX_MESSAGE_BYTES", "1000000"),
        ("TOOLSPAN_MAX_HELD_BYTES", "2000000"),
    ];
    let proxy = Proxy::serving(&["sh", "-c", DEAF], &[], &env);
    let note = |bytes: usize| {
        let text = "x".repeat(bytes);
        json!({"jsonrpc": "2.0", "method": "notifications/x", "params": {"x": text}}).to_string()
    };
    let mut session = Client::to(proxy.address()).initialize("2025-06-18");
    let other = Client::to(proxy.address()).initialize("2025-06-18");
    let third = Client::to(proxy.address()).initialize("2025-06-18");
    let (large, small) = (note(900_000), note(50_000));
    reset_peak(proxy.id());
    let before = peak(proxy.id());
    for (session, body, status) in [
        (&session, &large, 202),
        // Less than the quarter that it may take, but for one message.
        (&session, &large, 503),
        (&other, &large, 202),
        (&third, &large, 503),
        (&other, &small, 202),
    ] {
        let answer = session.again(proxy.address()).post(body);
        assert_eq!(
            answer.status,
            status,
            "{} bytes: {}",
            body.len(),
            answer.text()
        );
    }
    let expecting = session.again(proxy.address());
    let mut expecting = expecting.with("expect", "100-continue");
    let mut head = expecting.begin("POST", "/mcp", &[], &large);
    while head.start_line.contains(" 100 ") {
        head = expecting.http.read_head().expect("an answer");
    }
    assert!(head.start_line.contains(" 503 "), "{}", head.start_line);
    let mut websocket = End::connect(proxy.address(), "/ws", &[]).expect("an answer");
    let message = Frame::of_client(TEXT, &*large);
    std::thread::scope(|scope| {
        // A WebSocket waits for room, and its client with it.
        let sending = scope.spawn(|| websocket.send(&message).expect("it is read"));
        assert_eq!(third.again(proxy.address()).post(&large).status, 503);
        let grown = peak(proxy.id()) - before;
        assert!(grown < 16 << 10, "memory grew by {grown} KiB");
        // What a session has waiting goes with it.
        assert_eq!(session.send("DELETE", "/mcp", &[]).status, 200);
        sending.join().expect("it was sent");
    });
    // Its child reads one line, and answers.
    let answer = websocket.receive().expect("a frame").expect("a frame");
    assert_eq!(answer.opcode, TEXT, "what waited was read");
    eventually("room for another large message", PATIENCE, || {
        (third.again(proxy.address()).post(&large).status == 202).then_some(())
    });
    let (summary, _) = proxy.stop_and_keep_log();
    assert!(summary.count("clients_refused") >= 2);
}

#[test]
fn a_session_goes_on_with_another_token_of_its_tenant_only() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("tokens");
    // Of the tokens `1` and `2`, and `3`.
    let lines = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b acme\n\
        d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35 acme\n\
        4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce globex\n";
    std::fs::write(&file, lines).expect("a scratch file");
    let file = argument(&file);
    let world = World::start(&["--tenant-from", "token", "--tokens-file", file], &[]);
    let of = |token| ("authorization", token);
    let session = world.client().with("authorization", "Bearer 1");
    let mut session = session.initialize("2025-06-18");
    session.headers.rotate_left(1);
    assert_eq!(world.status(&session, &[of("Bearer 1")]), 200);
    assert_eq!(world.status(&session, &[of("Bearer 2")]), 200, "renewed");
    assert_eq!(world.status(&session, &[of("Bearer 3")]), 404, "globex");
    assert_eq!(world.status(&session, &[of("Bearer 4")]), 404, "nobody");
    assert_eq!(world.status(&session, &[]), 404);
    let spans = world.calls(3);
    assert!(spans.iter().all(|span| span.text("tenant.id") == "acme"));
}

/// The child can write any baggage; who began its session is what counts.
#[test]
fn what_a_child_asks_is_asked_for_the_tenant_of_its_session() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("tokens");
    // Of the token `1`.
    let line = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b acme\n";
    std::fs::write(&file, line).expect("a scratch file");
    let file = argument(&file);
    let options = [
        "--tenant-from",
        "token,baggage:tenant.id",
        "--tokens-file",
        file,
    ];
    let world = World::start(&options, &[]);
    let session = world.client().with("authorization", "Bearer 1");
    let mut session = session.initialize("2025-11-25");
    let mut other = session.again(world.proxy.address());
    let pretends = json!({"_meta": {"baggage": "tenant.id=globex"}});
    session.begin("POST", "/mcp", &[], &call(&json!(1), "ask", &pretends));
    let _primer = session.event().expect("a primer");
    let question = session.event().expect("a question").json();
    let baggage = question["params"]["_meta"]["baggage"].as_str();
    assert!(baggage.is_some_and(|baggage| baggage.contains("tenant.id=globex")));
    let said = json!({"jsonrpc": "2.0", "id": question["id"], "result": {}});
    assert_eq!(other.post(&said.to_string()).status, 202);
    assert_eq!(session.event().expect("an answer").json()["id"], 1);
    let spans = world.calls(3);
    for span in &spans {
        assert_eq!(span.text("tenant.id"), "acme", "{span:?}");
    }
}

#[test]
fn a_session_outlives_the_end_of_its_jwt_but_the_tenant_of_a_call_does_not() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let keys = folder.path().join("keys");
    let (issuer, forger) = (Issuer::default(), Issuer::default());
    std::fs::write(&keys, issuer.keys()).expect("a scratch file");
    let keys = argument(&keys);
    let env = [("TOOLSPAN_JWT_KEYS_FILE", keys)];
    let world = World::start(&["--tenant-from", "jwt:org"], &env);
    let (valid, over) = (issuer.bearer("acme", 3600), issuer.bearer("acme", -3600));
    // Its client has not seen yet that its token is over.
    let session = world.client().with("authorization", &over);
    let mut session = session.initialize("2025-06-18");
    session.headers.rotate_left(1);
    let status = |token: &str| world.status(&session, &[("authorization", token)]);
    assert_eq!(status(&valid), 200, "renewed");
    assert_eq!(status(&over), 200, "over again");
    assert_eq!(status(&issuer.bearer("globex", -3600)), 404);
    assert_eq!(status(&forger.bearer("acme", -3600)), 404);
    assert_eq!(status(&forger.bearer("acme", 3600)), 404);
    let (spans, summary) = world.calls_and_ledger(3);
    let mut of: Vec<&str> = spans.iter().map(|span| span.text("tenant.id")).collect();
    of.sort_unstable();
    assert_eq!(of, ["acme", "unknown", "unknown"]);
    assert_eq!(summary.count("tenant_unknown"), 2);
}
