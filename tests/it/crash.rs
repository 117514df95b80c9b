//! Takes a collector that is killed while four clients send to it: at random moments, and between a block and its cursor.
//! Gives that every span it acknowledged is stored, once.
//! Never retries an export: what was not acknowledged may be stored or not, but never twice and never in part.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::Value;
use tests::collector::Collector;
use tests::http_client::HttpClient;
use tests::process::{PATIENCE, eventually};

const CLIENTS: u64 = 4;
const KILLS: usize = 8;
const SPANS: u64 = 16;

/// The trace id says which client sent the export, and its number there.
fn trace_id(client: u64, number: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(client + 1).to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    id
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn export(client: u64, number: u64) -> Vec<u8> {
    let span = |place: u64| Span {
        trace_id: trace_id(client, number).to_vec(),
        span_id: (place + 1).to_be_bytes().to_vec(),
        name: format!("{client}/{number}/{place}"),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_001_000_000,
        ..Span::default()
    };
    let scope = ScopeSpans {
        spans: (0..SPANS).map(span).collect(),
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![resource],
    };
    request.encode_to_vec()
}

/// Sends until the connection breaks; gives the number after the last one sent.
fn send_until_broken(
    address: SocketAddr,
    client: u64,
    first: u64,
    over: &AtomicBool,
    acknowledged: &mut BTreeSet<String>,
) -> u64 {
    let Ok(mut connection) = HttpClient::connect(address) else {
        return first;
    };
    for number in first.. {
        let headers = [("content-type", "application/x-protobuf")];
        match connection.send("POST", "/v1/traces", &headers, &export(client, number)) {
            Ok(answer) if answer.status == 200 => {
                acknowledged.insert(hex(&trace_id(client, number)));
            }
            Ok(answer) => panic!(
                "export {client}/{number}: {} {}",
                answer.status,
                answer.text()
            ),
            Err(_) => return number + 1,
        }
        if over.load(Ordering::Relaxed) {
            return number + 1;
        }
    }
    first
}

/// When a life ends.
#[derive(Debug, Clone, Copy)]
enum End {
    After(Duration),
    /// When a block is stored and its cursor has not moved.
    BeforeCursor,
}

impl End {
    fn wait(self, store: &Path) {
        match self {
            // Not a wait for anything: this is the random moment.
            Self::After(life) => std::thread::sleep(life),
            Self::BeforeCursor => {
                let range = eventually("a block whose cursor is stuck", PATIENCE, || stick(store));
                eventually("its file", PATIENCE, || {
                    published(&store.join("parquet"), &range).then_some(())
                });
            }
        }
    }
}

/// A folder in the place of the file that the cursor is written to before it is renamed: it cannot move.
fn obstacle(store: &Path) -> PathBuf {
    store.join("cursors/parquet.tmp")
}

/// Catches a block that is being written, and stops its cursor. Gives the part of its file name that says its range.
fn stick(store: &Path) -> Option<String> {
    let attempt = || {
        let text = std::fs::read(store.join("cursors/parquet.json")).ok()?;
        let cursor: Value = serde_json::from_slice(&text).expect("the cursor is JSON");
        let number = |end: &str| cursor["attempt"][end].as_u64();
        Some(format!("{:020}-{:020}", number("first")?, number("last")?))
    };
    attempt()?;
    std::fs::create_dir(obstacle(store)).ok()?;
    let range = attempt();
    if range.is_none() {
        std::fs::remove_dir(obstacle(store)).expect("nobody else removes it");
    }
    range
}

/// Whether there is a file of this range under a folder.
fn published(folder: &Path, range: &str) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name.ends_with(".parquet") && !name.starts_with('.') && name.contains(range))
            || published(&entry.path(), range)
    })
}

/// One life of the collector under the load of all clients.
fn live_and_die(
    collector: Collector,
    next: &mut [u64],
    acknowledged: &mut BTreeSet<String>,
    end: End,
) -> tempfile::TempDir {
    let address = collector.http_url().trim_start_matches("http://");
    let address: SocketAddr = address.parse().expect("the port file holds addresses");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        let clients: Vec<_> = (0..CLIENTS)
            .zip(next.iter().copied())
            .map(|(client, first)| {
                scope.spawn(move || {
                    let mut mine = BTreeSet::new();
                    let next = send_until_broken(address, client, first, over, &mut mine);
                    (next, mine)
                })
            })
            .collect();
        end.wait(&collector.store());
        let obstacle = obstacle(&collector.store());
        let folder = collector.kill();
        // Only there if the end put it there.
        let _ = std::fs::remove_dir(obstacle);
        over.store(true, Ordering::Relaxed);
        for (client, place) in clients.into_iter().zip(next) {
            let (after, mine) = client.join().expect("a client ends");
            *place = after;
            acknowledged.extend(mine);
        }
        folder
    })
}

/// How many spans each trace has in the store, and how many different ones.
fn stored(collector: &Collector, enough: usize) -> BTreeMap<String, (u64, u64)> {
    let sql =
        "SELECT TraceId, count(*) AS n, count(DISTINCT SpanId) AS d FROM spans GROUP BY TraceId";
    let rows = collector.query_until(sql, |rows| rows.len() >= enough);
    let number = |value: &Value| value.as_u64().expect("a count");
    let row = |row: &Value| {
        let id = row["TraceId"].as_str().expect("a trace id").to_owned();
        (id, (number(&row["n"]), number(&row["d"])))
    };
    rows.iter().map(row).collect()
}

#[test]
fn kill_9_under_load_loses_nothing_acknowledged_and_stores_nothing_twice() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut folder = tempfile::tempdir().expect("a scratch folder");
    let mut acknowledged = BTreeSet::new();
    let mut next = vec![0; usize::try_from(CLIENTS).expect("few clients")];
    for kill in 0..KILLS {
        let collector = Collector::start_in(folder, None);
        // Blocks are cut every second: the moments spread over appends, block writes and cursor moves.
        let end = if kill % 2 == 0 {
            End::After(Duration::from_millis(random.u64(50..2500)))
        } else {
            End::BeforeCursor
        };
        let before = acknowledged.len();
        let started = Instant::now();
        folder = live_and_die(collector, &mut next, &mut acknowledged, end);
        let gained = acknowledged.len() - before;
        eprintln!(
            "life {kill}, {end:?}: {:?}, {gained} exports acknowledged",
            started.elapsed()
        );
    }
    assert!(
        acknowledged.len() > 100,
        "too little load: {} exports",
        acknowledged.len()
    );

    let collector = Collector::start_in(folder, None);
    let traces = stored(&collector, acknowledged.len());
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|id| !traces.contains_key(*id))
        .collect();
    assert!(
        lost.is_empty(),
        "{} acknowledged exports are lost: {lost:?}",
        lost.len()
    );
    let uneven: Vec<_> = traces
        .iter()
        .filter(|(_, counts)| **counts != (SPANS, SPANS))
        .collect();
    assert!(
        uneven.is_empty(),
        "not each span once (rows, different): {uneven:?}"
    );
    let again = stored(
        &Collector::start_in(collector.stop(), None),
        acknowledged.len(),
    );
    assert_eq!(again, traces, "another start changes nothing");
}
