use std::path::Path;
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding;

use super::*;
use crate::shutdown::Stopper;
use crate::wal::{Birth, LogId, Options, RealDisk};

fn config(store: &Path, port_file: &Path) -> Config {
    Config {
        store: store.to_owned(),
        otlp_grpc: "127.0.0.1:0".into(),
        otlp_http: "127.0.0.1:0".into(),
        allow_public: false,
        clickhouse: None,
        parquet: true,
        log_quota: 64 << 20,
        max_export: 1 << 20,
        port_file: Some(port_file.to_owned()),
    }
}

/// A collector in this process.
struct Running {
    task: JoinHandle<Result<StoreLock, StartError>>,
    stopper: Stopper,
    grpc: String,
    http: String,
    /// Where the port file stands. The collector is not done with the folder when the file is there: it syncs it next,
    /// and ends when that is impossible.
    _scratch: tempfile::TempDir,
}

impl Running {
    async fn start(store: &Path) -> Self {
        Self::start_with(store, |_| {}).await
    }

    async fn start_with(store: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let port_file = scratch.path().join("ports");
        let (stopper, stop) = stop();
        let mut config = config(store, &port_file);
        change(&mut config);
        let task = tokio::spawn(run(config, stop));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !port_file.exists() {
            assert!(!task.is_finished(), "it ended: {:?}", task.await);
            assert!(Instant::now() < deadline, "no port file within 20 s");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let text = std::fs::read_to_string(&port_file).unwrap();
        let address = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            format!("http://{}", line.unwrap().trim())
        };
        Self {
            task,
            stopper,
            grpc: address("grpc"),
            http: address("http"),
            _scratch: scratch,
        }
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> u16 {
        let client: Client<_, Full<bytes::Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let request = hyper::Request::post(format!("{}{path}", self.http))
            .header("content-type", "application/x-protobuf")
            .body(Full::new(body.into()))
            .unwrap();
        client.request(request).await.unwrap().status().as_u16()
    }

    async fn counters(&self) -> String {
        let client: Client<_, Full<bytes::Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let answer = client
            .get(format!("{}/metrics", self.http).parse().unwrap())
            .await
            .unwrap();
        String::from_utf8(
            answer
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .to_vec(),
        )
        .unwrap()
    }

    async fn wait_for_line(&self, line: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let counters = self.counters().await;
            if counters.lines().any(|counter| counter == line) {
                return counters;
            }
            assert!(Instant::now() < deadline, "no {line:?} in\n{counters}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        self.stopper.stop();
        self.task.await.unwrap().unwrap();
    }
}

fn spans(count: u8) -> ExportTraceServiceRequest {
    let span = |number| Span {
        trace_id: vec![number; 16],
        span_id: vec![number; 8],
        name: format!("span {number}"),
        ..Span::default()
    };
    let scope = ScopeSpans {
        spans: (1..=count).map(span).collect(),
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource],
    }
}

fn points(count: u64) -> ExportMetricsServiceRequest {
    let point = |number| NumberDataPoint {
        time_unix_nano: number,
        value: Some(number_data_point::Value::AsDouble(1.0)),
        ..NumberDataPoint::default()
    };
    let gauge = Gauge {
        data_points: (1..=count).map(point).collect(),
    };
    let metric = Metric {
        name: "m".into(),
        data: Some(metric::Data::Gauge(gauge)),
        ..Metric::default()
    };
    let scope = ScopeMetrics {
        metrics: vec![metric],
        ..ScopeMetrics::default()
    };
    let resource = ResourceMetrics {
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![resource],
    }
}

fn files(folder: &Path) -> usize {
    let Ok(found) = std::fs::read_dir(folder) else {
        return 0;
    };
    let paths = found.map(|file| file.unwrap().path());
    paths
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_over_both_protocols_are_stored_and_every_item_is_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Running::start(dir.path()).await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let client = TraceServiceClient::connect(collector.grpc.clone())
            .await
            .unwrap();
        let answer = client
            .send_compressed(encoding)
            .export(spans(3))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.partial_success, None);
    }
    let mut client = MetricsServiceClient::connect(collector.grpc.clone())
        .await
        .unwrap();
    client.export(points(4)).await.unwrap();
    assert_eq!(
        collector.post("/v1/traces", spans(5).encode_to_vec()).await,
        200
    );
    assert_eq!(
        collector.post("/v1/traces", vec![]).await,
        200,
        "an empty export is fine"
    );
    assert_eq!(
        collector.post("/v1/traces", b"\x0a\xff".to_vec()).await,
        400
    );
    assert_eq!(
        collector.post("/v1/traces", vec![0; (1 << 20) + 1]).await,
        413
    );
    let counters = collector
        .wait_for_line("toolspan_collector_sink_stored_items_total{sink=\"parquet\"} 15")
        .await;
    for line in [
        "toolspan_collector_exports_total{result=\"accepted\"} 5",
        "toolspan_collector_exports_total{result=\"malformed\"} 1",
        "toolspan_collector_exports_total{result=\"too_large\"} 1",
        "toolspan_collector_items_total{signal=\"traces\",result=\"accepted\"} 11",
        "toolspan_collector_items_total{signal=\"metrics\",result=\"accepted\"} 4",
        "toolspan_collector_sink_pending_items{sink=\"parquet\"} 0",
        "toolspan_collector_sink_uneven_blocks_total{sink=\"parquet\"} 0",
    ] {
        assert!(
            counters.lines().any(|counter| counter == line),
            "no {line:?} in\n{counters}"
        );
    }
    collector.end().await;
    assert!(files(&dir.path().join("parquet")) >= 2);
    assert_eq!(files(&dir.path().join("deadletter")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_stores_what_was_acknowledged_a_moment_ago() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Running::start(dir.path()).await;
    assert_eq!(
        collector.post("/v1/traces", spans(7).encode_to_vec()).await,
        200
    );
    collector.end().await;
    assert_eq!(files(&dir.path().join("parquet")), 1);
    let collector = Running::start(dir.path()).await;
    collector
        .wait_for_line("toolspan_collector_sink_replayed_items{sink=\"parquet\"} 0")
        .await;
    collector.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_does_not_hold_up_the_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = tempfile::tempdir().unwrap();
    let collector = Running::start(dir.path()).await;
    let address = collector.http.strip_prefix("http://").unwrap();
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                content-length: 100\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 12];
    client.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100", "the body is being read");
    client.write_all(b"abc").await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), collector.end())
        .await
        .expect("it ended long before the body's time");
}

#[tokio::test]
async fn an_export_counts_as_accepted_though_its_client_hung_up() {
    let dir = tempfile::tempdir().unwrap();
    let birth = Birth {
        new_id: LogId(1),
        now_unix_nanos: 1,
        floor: Seq(0),
    };
    let options = Options {
        quota_bytes: 1 << 20,
    };
    let (log, writer, _) =
        Log::open(RealDisk, dir.path(), options, birth, &mut |_, _, _| {}).unwrap();
    let mut progress = log.progress();
    let ledger = Arc::new(Ledger::new(vec![]));
    let collector = Collector::new(log, Arc::clone(&ledger), 1 << 20);
    let received = Received {
        signal: Signal::Traces,
        body: spans(3).encode_to_vec().into(),
    };
    {
        let mut handler = std::pin::pin!(collector.accept(received));
        // One poll hands the export over; then the server drops the handler, as it does when the client is gone.
        assert!(futures_util::poll!(&mut handler).is_pending());
    }
    let durable = progress.wait_for(|progress| progress.items == 3);
    tokio::time::timeout(Duration::from_secs(20), durable)
        .await
        .expect("it is stored all the same")
        .unwrap();
    let line = "toolspan_collector_items_total{signal=\"traces\",result=\"accepted\"} 3";
    let deadline = Instant::now() + Duration::from_secs(20);
    while !collector.metrics().lines().any(|counter| counter == line) {
        assert!(Instant::now() < deadline, "{}", collector.metrics());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(collector);
    tokio::task::spawn_blocking(move || writer.join())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_has_one_collector() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Running::start(dir.path()).await;
    let (_stopper, stop) = stop();
    let error = run(config(dir.path(), &dir.path().join("ports")), stop)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("in use by another collector"), "{error}");
    collector.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_fills_the_log_and_then_exports_are_refused_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = |config: &mut Config| {
        config.clickhouse = Some("http://127.0.0.1:1/".parse().unwrap());
        config.max_export = 256 << 10;
        config.log_quota = 2 << 20;
    };
    let collector = Running::start_with(dir.path(), nobody).await;
    let mut body = spans(10);
    body.resource_spans[0].scope_spans[0].spans[0].name = "x".repeat(100_000);
    let body = body.encode_to_vec();
    let mut accepted = 0;
    let refused = loop {
        match collector.post("/v1/traces", body.clone()).await {
            200 => accepted += 10,
            refused => break refused,
        }
    };
    assert_eq!(refused, 429);
    assert!(accepted >= 150, "the quota of 2 MiB took {accepted} spans");
    let stored =
        format!("toolspan_collector_sink_stored_items_total{{sink=\"parquet\"}} {accepted}");
    let counters = collector.wait_for_line(&stored).await;
    for line in [
        "toolspan_collector_exports_total{result=\"log_full\"} 1".to_owned(),
        format!("toolspan_collector_sink_pending_items{{sink=\"clickhouse\"}} {accepted}"),
    ] {
        assert!(
            counters.lines().any(|counter| counter == line),
            "no {line:?} in\n{counters}"
        );
    }
    collector.end().await;
    let collector = Running::start_with(dir.path(), nobody).await;
    let counters = collector.counters().await;
    let replayed =
        format!("toolspan_collector_sink_replayed_items{{sink=\"clickhouse\"}} {accepted}");
    assert!(
        counters.lines().any(|counter| counter == replayed),
        "no {replayed:?} in\n{counters}"
    );
    assert!(
        counters.contains("toolspan_collector_sink_replayed_items{sink=\"parquet\"} 0"),
        "{counters}"
    );
    collector.end().await;
}
