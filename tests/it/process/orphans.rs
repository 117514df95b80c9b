//! Takes clients and sidecars that are killed. Gives that no process they started is left.
//! Never trusts a process tree: every descendant carries a mark in its environment, and /proc is searched for it.

use rustix::process::Signal;
use tests::descendants::Marked;
use tests::process::{Guarded, PATIENCE, eventually};
use tests::sidecar::{Log, stdio_command};

/// A wrapper, as `npx` is one, above a server that ignores the end of its input and every polite signal.
const WRAPPED: &str = "trap '' TERM INT HUP; \
    sh -c 'trap \"\" TERM INT HUP; while :; do sleep 0.1; done' & \
    sh -c 'trap \"\" TERM INT HUP; while :; do sleep 0.1; done'; wait";

/// As above, but the server leaves its session, as daemons do.
const DETACHED: &str = "trap '' TERM INT HUP; \
    setsid sh -c 'trap \"\" TERM INT HUP; while :; do sleep 0.1; done' & \
    while :; do sleep 0.1; done";

/// A well-behaved server behind a shell: it ends at the end of its input.
const POLITE: &str = "cat; exit 0";

/// A server that closes its input: the end of the client's stream cannot reach it.
const DEAF: &str = "trap '' TERM INT HUP; exec 0<&-; while :; do sleep 0.1; done";

/// A client that spawned a sidecar over `script`, and the mark of all that hangs below it.
fn client(script: &str) -> (Guarded, Marked, Log, u32) {
    let marked = Marked::default();
    let log = Log::default();
    let sidecar = stdio_command(&log, &[], &["sh", "-c", script]);
    let (process, sidecar_id) = marked.client(&sidecar);
    // Client, sidecar, its guard perhaps, the shell and what the shell starts.
    let expected = script.matches("sh -c").count() + 3;
    eventually("the server's processes", PATIENCE, || {
        (marked.processes().len() >= expected).then_some(())
    });
    (process, marked, log, sidecar_id)
}

fn assert_none_is_left(marked: &Marked) {
    eventually("the end of every descendant", PATIENCE, || {
        marked.processes().is_empty().then_some(())
    });
}

fn after_the_client_is_killed(script: &str) {
    let (mut client, marked, _log, _) = client(script);
    client.signal(Signal::KILL);
    client.wait();
    assert_none_is_left(&marked);
}

fn after_the_sidecar_is_killed(script: &str) {
    let (client, marked, _log, sidecar) = client(script);
    let pid = i32::try_from(sidecar)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .expect("a process id");
    rustix::process::kill_process(pid, Signal::KILL).expect("the sidecar runs");
    let own = client.id();
    eventually("the end of every descendant", PATIENCE, || {
        marked
            .processes()
            .iter()
            .all(|pid| *pid == own)
            .then_some(())
    });
}

#[test]
fn none_is_left_when_the_client_is_killed() {
    after_the_client_is_killed(POLITE);
}

#[test]
fn none_is_left_behind_a_wrapper_when_the_client_is_killed() {
    after_the_client_is_killed(WRAPPED);
}

#[test]
fn none_is_left_in_another_session_when_the_client_is_killed() {
    after_the_client_is_killed(DETACHED);
}

#[test]
fn none_is_left_of_a_server_that_does_not_read_when_the_client_is_killed() {
    after_the_client_is_killed(DEAF);
}

#[test]
fn none_is_left_when_the_sidecar_is_killed() {
    after_the_sidecar_is_killed(POLITE);
}

#[test]
fn none_is_left_behind_a_wrapper_when_the_sidecar_is_killed() {
    after_the_sidecar_is_killed(WRAPPED);
}

#[test]
fn none_is_left_in_another_session_when_the_sidecar_is_killed() {
    after_the_sidecar_is_killed(DETACHED);
}
