//! Takes generated messages and a corpus. Gives that what arrives, minus the splice, is what was sent.
//! Never asks the sidecar: the peer at the other end keeps the bytes, and the judge compares.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tests::generate::{From, Generator, Whitespace};
use tests::otlp::{Mode, Receiver};
use tests::process::Guarded;
use tests::programs;
use tests::sidecar::{Log, Summary, argument, stdio_command};
use tests::splice;

mod corpus;
mod headers;
mod http;

/// What one run over stdio brought to both ends.
pub(crate) struct Relayed {
    pub at_server: Vec<Vec<u8>>,
    pub at_client: Vec<Vec<u8>>,
    pub summary: Summary,
}

/// Sends lines both ways through a sidecar, as fast as the pipes take them.
pub(crate) fn relay(options: &[&str], to_server: &[Vec<u8>], to_client: &[Vec<u8>]) -> Relayed {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let (record, replay) = (folder.path().join("record"), folder.path().join("replay"));
    std::fs::write(&replay, joined(to_client)).expect("a file in the scratch folder");
    let server: PathBuf = programs::own("scripted-server");
    let log = Log::default();
    let mut command = stdio_command(
        &log,
        options,
        &[argument(&server), argument(&record), argument(&replay)],
    );
    let mut process = Guarded::spawn(&mut command).expect("the sidecar starts");
    let mut stdin = process.take_stdin().expect("its input is a pipe");
    let mut stdout = process.take_stdout().expect("its output is a pipe");
    let all = joined(to_server);
    let writer = std::thread::spawn(move || stdin.write_all(&all));
    let mut arrived = Vec::new();
    stdout
        .read_to_end(&mut arrived)
        .expect("the sidecar's output");
    writer
        .join()
        .expect("the writer ends")
        .expect("the sidecar reads everything");
    assert_eq!(process.wait().code(), Some(0), "{}", log.text());
    Relayed {
        at_server: lines(&std::fs::read(&record).expect("the server kept its input")),
        at_client: lines(&arrived),
        summary: log.summary(),
    }
}

/// A new seed each run, so that the runs add up; `TOOLSPAN_TEST_SEED` repeats one.
fn seed() -> u64 {
    let seed = std::env::var("TOOLSPAN_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    // Shown by the test runner when the test fails.
    eprintln!("TOOLSPAN_TEST_SEED={seed}");
    seed
}

fn generate(seed: u64, count: usize, from: From, white: Whitespace) -> Vec<Vec<u8>> {
    let mut generator = Generator::new(seed, white);
    (0..count).map(|_| generator.next(from)).collect()
}

#[test]
fn eighty_thousand_generated_lines_arrive_as_they_were_sent() {
    let seed = seed();
    let to_server = generate(seed, 50_000, From::Client, Whitespace::WithinLine);
    let to_client = generate(seed ^ 1, 30_000, From::Server, Whitespace::WithinLine);
    let receiver = Receiver::start(Mode::Discard);
    let url = receiver.grpc_url();
    let relayed = relay(&["--otlp-endpoint", &url], &to_server, &to_client);
    let injected = judge(&to_server, &relayed.at_server);
    assert!(injected > 30_000, "{injected} requests carry a context");
    judge(&to_client, &relayed.at_client);
    relayed.summary.assert_conserved();
}

#[test]
fn the_last_line_may_lack_its_end() {
    let sent = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.to_vec();
    let receiver = Receiver::start(Mode::Discard);
    let url = receiver.grpc_url();
    let folder = tempfile::tempdir().expect("a scratch folder");
    let record = folder.path().join("record");
    let server = programs::own("scripted-server");
    let log = Log::default();
    let mut command = stdio_command(
        &log,
        &["--otlp-endpoint", &url],
        &[argument(&server), argument(&record)],
    );
    let mut process = Guarded::spawn(&mut command).expect("the sidecar starts");
    let mut stdin = process.take_stdin().expect("its input is a pipe");
    stdin.write_all(&sent).expect("the sidecar reads");
    drop(stdin);
    process.wait();
    let arrived = std::fs::read(&record).expect("the server kept its input");
    splice::judge(&sent, &arrived).unwrap_or_else(|why| panic!("{why}"));
}

/// Judges each line; gives how many contexts came in.
fn judge(sent: &[Vec<u8>], arrived: &[Vec<u8>]) -> usize {
    assert_eq!(sent.len(), arrived.len(), "lines that arrived");
    sent.iter()
        .zip(arrived)
        .map(|(sent, arrived)| {
            splice::judge_all_injected(sent, arrived)
                .unwrap_or_else(|why| panic!("{why}"))
                .injected
        })
        .sum()
}

fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| line.iter().copied().chain([b'\n']))
        .collect()
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    // What follows the last line end is no line unless it holds something.
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}

/// The folder of the corpus.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/splice")
}
