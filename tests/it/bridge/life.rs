//! Takes children that come, die and are forgotten. Gives that none of them is left, and that nobody waits in vain.

use tests::fleet::Fleet;

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
    // A shell starts faster than an interpreter.
    let initialized = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}"#;
    let script = format!("read -r line; echo '{initialized}'; exec cat");
    let proxy = Proxy::serving(&["sh", "-c", &script], &[], &[]);
    let children = || {
        let path = format!("/proc/{0}/task/{0}/children", proxy.id());
        let text = std::fs::read_to_string(path).expect("the sidecar runs");
        text.split_whitespace().count()
    };
    let descriptors = || {
        let folder = format!("/proc/{}/fd", proxy.id());
        std::fs::read_dir(folder).expect("the sidecar runs").count()
    };
    let before = descriptors();
    for _ in 0..10 {
        let mut sessions: Vec<_> = (0..20)
            .map(|_| Client::to(proxy.address()).initialize("2025-06-18"))
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

#[test]
fn a_reload_leaves_sessions_alone_and_a_removed_hop_ends_them() {
    let python = programs::python();
    let script = programs::python_script("stdio_child.py");
    let hop = |more: &str| {
        format!(
            "[[hop]]\nname = \"tools\"\nlisten = \"127.0.0.1:0\"\ncommand = [{:?}, {:?}]\n{more}",
            argument(&python),
            argument(&script)
        )
    };
    let fleet = Fleet::start(&hop(""));
    let mut client = Client::to(fleet.hop("tools")).initialize("2025-06-18");
    let child = pid(&mut client);
    let reloaded = fleet.reload(&hop("mcp_path = \"/tools\"\n"));
    assert_eq!(reloaded["changed"], "[\"tools\"]", "{reloaded}");
    assert_eq!(
        client.send("DELETE", "/mcp", &[]).status,
        404,
        "its place is another"
    );
    let headers = client.headers.clone();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (&**n, &**v)).collect();
    let body = call(&json!(1), "pid", &json!({}));
    let answer = client
        .http
        .post("/tools", &headers, body.as_bytes())
        .unwrap();
    assert_eq!(messages(&answer)[0]["result"]["pid"], child);
    // Its connection stays open; what is idle on it ends all the same.
    let _reloaded = fleet.reload(
        "drain_seconds = 1\n[[hop]]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:1\"\n",
    );
    wait_until_gone(child);
}

#[test]
fn switched_off_it_bridges_and_does_nothing_else() {
    let world = World::start(&[], &[("TOOLSPAN_DISABLED", "1")]);
    let mut client = world
        .client()
        .initialize("2025-06-18")
        .with("traceparent", PARENT);
    let body = call(&json!(1), "line", &json!({}));
    let answer = client.post(&body);
    assert_eq!(messages(&answer)[0]["result"]["line"], body);
    assert_eq!(world.otlp.received().attempts, 0);
}
