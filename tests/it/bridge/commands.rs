//! Takes a command that is changed, or ended for want of requests. Gives that a request in between is answered.
//! Never times anything: each request is sent once the other side shows where it stands.

use tests::fleet::Fleet;

use super::modern::{modern, tool};
use super::*;

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}"#;

/// A hop of the scripted child, with the last argument of its command.
fn hop(otlp: &Receiver, mark: &str, more: &str) -> String {
    let (python, script) = (
        programs::python(),
        programs::python_script("stdio_child.py"),
    );
    format!(
        "otlp_endpoint = \"{}\"\n{more}\n[[hop]]\nname = \"tools\"\nlisten = \"127.0.0.1:0\"\ncommand = [{:?}, {:?}, {mark:?}]\n",
        otlp.grpc_url(),
        argument(&python),
        argument(&script)
    )
}

fn caller(fleet: &Fleet, tool: &str) -> Client {
    let client = Client::to(fleet.hop("tools")).with("mcp-protocol-version", "2026-07-28");
    client
        .with("mcp-method", "tools/call")
        .with("mcp-name", tool)
}

fn child_of(fleet: &Fleet) -> u32 {
    let answer = caller(fleet, "pid").post(&tool(&json!(1), "pid"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let pid = messages(&answer)[0]["result"]["pid"].as_u64();
    u32::try_from(pid.expect("a process")).expect("a process id")
}

/// A request that stays open, at the child that is there now.
fn hold(fleet: &Fleet) -> Client {
    let params = json!({"name": "hold", "_meta": {"progressToken": "t"}});
    let body = modern(&json!("held"), "tools/call", &params);
    let mut holding = caller(fleet, "hold");
    let _head = holding.begin("POST", "/mcp", &[], &body);
    assert!(holding.event().is_some());
    holding
}

#[test]
fn a_changed_command_serves_the_next_request_of_a_caller_that_is_always_busy() {
    let otlp = Receiver::start(Mode::Accept);
    let fleet = Fleet::start(&hop(&otlp, "old", ""));
    let old = child_of(&fleet);
    let holding = hold(&fleet);
    assert_eq!(
        fleet.reload(&hop(&otlp, "new", ""))["changed"],
        "[\"tools\"]"
    );
    let new = child_of(&fleet);
    assert_ne!(new, old);
    assert!(is_alive(old), "its request is open");
    assert_eq!(child_of(&fleet), new);
    drop(holding);
    wait_until_gone(old);
    // One that nobody uses has nothing to wait for.
    assert_eq!(
        fleet.reload(&hop(&otlp, "newer", ""))["changed"],
        "[\"tools\"]"
    );
    wait_until_gone(new);
    // Behind another kind of server nobody would ever use one.
    let newer = child_of(&fleet);
    let holding = hold(&fleet);
    let elsewhere =
        "[[hop]]\nname = \"tools\"\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:1\"";
    let elsewhere = format!("otlp_endpoint = \"{}\"\n{elsewhere}", otlp.grpc_url());
    assert_eq!(fleet.reload(&elsewhere)["changed"], "[\"tools\"]");
    assert!(is_alive(newer), "its request is open");
    drop(holding);
    wait_until_gone(newer);
    let (summary, log) = fleet.stop();
    assert_eq!(summary.count("calls_seen"), 6);
    log.assert_none_at("WARN");
}

#[test]
fn without_room_for_a_changed_command_the_old_one_serves_while_it_must_run() {
    let (otlp, one) = (Receiver::start(Mode::Accept), "max_sessions = 1");
    let fleet = Fleet::start(&hop(&otlp, "old", one));
    let old = child_of(&fleet);
    let holding = hold(&fleet);
    assert_eq!(
        fleet.reload(&hop(&otlp, "new", one))["changed"],
        "[\"tools\"]"
    );
    assert_eq!(child_of(&fleet), old, "no request is refused for a reload");
    drop(holding);
    // Its client's leaving is heard in its own time.
    eventually("the new command", PATIENCE, || {
        (child_of(&fleet) != old).then_some(())
    });
    let (summary, log) = fleet.stop();
    summary.assert_conserved();
    log.assert_none_at("WARN");
}

/// Answers the first request, notes the end of its input, and takes its time to end.
const SLOW_TO_END: &str = r#"read -r line; printf '%s\n' "$ANSWER"
    read -r line; echo ended >> "$NOTES"; exec sleep 600"#;

/// A bridge that has one place, for a child that is soon idle and slow to end.
struct OnePlace {
    _otlp: Receiver,
    folder: tempfile::TempDir,
    proxy: Proxy,
}

impl OnePlace {
    fn start(answer: &str) -> Self {
        let otlp = Receiver::start(Mode::Accept);
        let folder = tempfile::tempdir().expect("a scratch folder");
        let notes = folder.path().join("notes");
        let env = [
            ("ANSWER", answer),
            ("NOTES", argument(&notes)),
            ("TOOLSPAN_SESSION_IDLE_SECONDS", "1"),
            ("TOOLSPAN_MAX_SESSIONS", "1"),
        ];
        let options = ["--otlp-endpoint", &otlp.grpc_url()];
        let proxy = Proxy::serving(&["sh", "-c", SLOW_TO_END], &options, &env);
        Self {
            _otlp: otlp,
            folder,
            proxy,
        }
    }

    fn client(&self) -> Client {
        Client::to(self.proxy.address())
    }

    fn wait_for_the_end_of_input(&self) {
        eventually("a child that is about to end", PATIENCE, || {
            self.folder.path().join("notes").exists().then_some(())
        });
    }

    fn stop(self) {
        let (_, log) = self.proxy.stop_and_keep_log();
        log.assert_none_at("WARN");
    }
}

#[test]
fn a_request_that_comes_while_its_idle_child_ends_gets_another() {
    let world = OnePlace::start(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
    let call = || {
        let client = world.client().with("mcp-protocol-version", "2026-07-28");
        let client = client.with("mcp-method", "tools/call");
        let answer = client.with("mcp-name", "t").post(&tool(&json!("a"), "t"));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    call();
    world.wait_for_the_end_of_input();
    call();
    world.stop();
}

#[test]
fn a_session_begins_while_the_child_of_one_that_was_idle_ends() {
    let world = OnePlace::start(INITIALIZED);
    let mut idle = world.client().initialize("2025-06-18");
    world.wait_for_the_end_of_input();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(idle.post(list).status, 404);
    world.client().initialize("2025-06-18");
    world.stop();
}

/// Answers the first line. At its end it notes that it was told, and then that the other was, too.
const TOLD: &str = r#"trap '' TERM; read -r line; echo '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}'
    read -r line; : > "$1.told"; until [ -e "$2.told" ]; do sleep 0.1; done; : > "$1.met""#;

#[test]
fn at_our_end_the_commands_of_all_hops_are_told_at_once() {
    let otlp = Receiver::start(Mode::Accept);
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = |name: &str| folder.path().join(name);
    let hop = |name: &str, other: &str| {
        let (own, other) = (file(name), file(other));
        format!(
            "[[hop]]\nname = {name:?}\nlisten = \"127.0.0.1:0\"\n\
             command = [\"sh\", \"-c\", {TOLD:?}, \"sh\", {own:?}, {other:?}]\n"
        )
    };
    let top = format!("otlp_endpoint = \"{}\"\n", otlp.grpc_url());
    let fleet = Fleet::start(&(top + &hop("one", "two") + &hop("two", "one")));
    for name in ["one", "two"] {
        let _session = Client::to(fleet.hop(name)).initialize("2025-06-18");
    }
    let (_, log) = fleet.stop();
    log.assert_none_at("WARN");
    for name in ["one.met", "two.met"] {
        assert!(
            file(name).exists(),
            "{name}: one waited for the end of the other"
        );
    }
}

/// Says that it runs, and ends when it may, without an answer.
const ENDS_LATER: &str =
    r#"read -r line; echo >> "$1.runs"; until [ -e "$1.may" ]; do sleep 0.1; done; exit 7"#;

#[test]
fn a_command_that_ends_behind_a_reload_is_named_as_it_was_started() {
    let otlp = Receiver::start(Mode::Accept);
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = |name: &str| folder.path().join(name);
    let config = |command: &str| {
        let url = otlp.grpc_url();
        format!(
            "otlp_endpoint = \"{url}\"\n[[hop]]\nname = \"tools\"\nlisten = \"127.0.0.1:0\"\ncommand = {command}\n"
        )
    };
    let own = file("it");
    let fleet = Fleet::start(&config(&format!(
        "[\"sh\", \"-c\", {ENDS_LATER:?}, \"sh\", {own:?}]"
    )));
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
    let clients = [
        (Client::to(fleet.hop("tools")), initialize.to_owned()),
        (caller(&fleet, "t"), tool(&json!(1), "t")),
    ];
    let asking = clients.map(|(client, body)| {
        std::thread::spawn(move || {
            let answer = { client }.post(&body);
            (answer.status, answer.text())
        })
    });
    eventually("both children", PATIENCE, || {
        let runs = std::fs::read_to_string(file("it.runs")).ok()?;
        (runs.lines().count() == 2).then_some(())
    });
    assert_eq!(fleet.reload(&config("[\"cat\"]"))["changed"], "[\"tools\"]");
    std::fs::write(file("it.may"), "").expect("a scratch file");
    for asking in asking {
        let (status, text) = asking.join().expect("an answer");
        assert_eq!(status, 502);
        assert!(text.contains("sh ended with exit code 7"), "{text}");
    }
    let _in_order = fleet.stop();
}
