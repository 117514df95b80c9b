//! Takes children that come, die and are forgotten. Gives that none of them is left, and that nobody waits in vain.

use super::*;

#[test]
fn a_command_that_cannot_be_started_is_named() {
    let proxy = Proxy::serving(&["no-such-command-anywhere"], &[], &[]);
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    let answer = Client::to(proxy.address()).post(body);
    assert_eq!(answer.status, 502);
    assert!(
        answer.text().contains("no-such-command-anywhere"),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("No such file"), "{}", answer.text());
}

#[test]
fn a_child_that_dies_takes_its_session_with_it() {
    let world = World::start(&[], &[]);
    let mut client = world.client().initialize("2025-06-18");
    client.begin("POST", "/mcp", &[], &call(&json!(1), "exit", &json!({})));
    assert!(
        client.http.next_chunk().is_err(),
        "the stream is cut, not ended"
    );
    let mut again = client.again(world.proxy.address());
    assert_eq!(again.post(&call(&json!(2), "pid", &json!({}))).status, 404);
    let spans = world.calls(2);
    let call = spans
        .iter()
        .find(|span| span.text("mcp.method.name") == "tools/call")
        .unwrap();
    assert_eq!(call.text("toolspan.outcome"), "server_gone");
}

#[test]
fn what_nobody_uses_ends() {
    let world = World::start(&[], &[("TOOLSPAN_SESSION_IDLE_SECONDS", "1")]);
    let mut legacy = world.client().initialize("2025-06-18");
    let child = pid(&mut legacy);
    wait_until_gone(child);
    assert_eq!(legacy.post(&call(&json!(2), "pid", &json!({}))).status, 404);
}

#[test]
fn no_more_children_run_than_are_allowed() {
    let world = World::start(&[], &[("TOOLSPAN_MAX_SESSIONS", "1")]);
    let mut first = world.client().initialize("2025-06-18");
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    let mut second = world.client();
    assert_eq!(second.post(body).status, 503);
    assert_eq!(first.send("DELETE", "/mcp", &[]).status, 200);
    // The place is free once the first child is gone.
    eventually("room for another child", PATIENCE, || {
        (second.post(body).status == 200).then_some(())
    });
}

/// Killed, the sidecar can say nothing; the guards see it all the same.
#[test]
fn no_child_outlives_the_sidecar() {
    let world = World::start(&[], &[]);
    let mut client = world.client().initialize("2025-06-18");
    let child = pid(&mut client);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(world.proxy.id()).unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    wait_until_gone(child);
}

#[test]
fn our_own_end_ends_what_is_open() {
    let world = World::start(&[], &[]);
    let mut client = world.client().initialize("2025-06-18");
    let child = pid(&mut client);
    let mut standalone = client.again(world.proxy.address());
    standalone.begin("GET", "/mcp", &[], "");
    world.calls(2);
    assert_eq!(
        standalone.event(),
        None,
        "a stream without a call ends in order"
    );
    assert!(!is_alive(child));
}

#[test]
fn many_sessions_leave_nothing_behind() {
    let world = World::start(&[], &[]);
    let children = || {
        let path = format!("/proc/{0}/task/{0}/children", world.proxy.id());
        let text = std::fs::read_to_string(path).expect("the sidecar runs");
        text.split_whitespace().count()
    };
    let descriptors = || {
        let folder = format!("/proc/{}/fd", world.proxy.id());
        std::fs::read_dir(folder).expect("the sidecar runs").count()
    };
    let before = descriptors();
    for _ in 0..10 {
        let mut sessions: Vec<_> = (0..20)
            .map(|_| world.client().initialize("2025-06-18"))
            .collect();
        for session in &mut sessions {
            assert_eq!(session.send("DELETE", "/mcp", &[]).status, 200);
        }
    }
    eventually("the end of all children", PATIENCE, || {
        (children() == 0).then_some(())
    });
    eventually("the end of all pipes", PATIENCE, || {
        // The connection to the collector may have come since.
        (descriptors() <= before + 3).then_some(())
    });
}
