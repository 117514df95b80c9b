use std::io::Write;
use std::sync::Mutex;

use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::{HeaderMap, Request};

use super::*;

/// Remembers what it was given and answers as told.
struct Clerk {
    answer: Result<Accepted, Refusal>,
    taken: Mutex<Vec<Received>>,
    refused: Mutex<Vec<Refusal>>,
    memory: Memory,
}

impl Clerk {
    fn new(answer: Result<Accepted, Refusal>) -> Self {
        Self {
            answer,
            taken: Mutex::default(),
            refused: Mutex::default(),
            memory: Memory::new(1 << 20),
        }
    }

    fn bodies(&self) -> Vec<(Signal, Bytes)> {
        self.taken
            .lock()
            .unwrap()
            .iter()
            .map(|received| (received.signal, received.body.clone()))
            .collect()
    }
}

impl Intake for Clerk {
    async fn accept(&self, received: Received) -> Result<Accepted, Refusal> {
        self.taken.lock().unwrap().push(received);
        self.answer.clone()
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn refused(&self, refusal: &Refusal) {
        self.refused.lock().unwrap().push(refusal.clone());
    }

    fn metrics(&self) -> String {
        "metrics 1\n".into()
    }
}

const LIMITS: Limits = Limits {
    max_export_bytes: 1000,
    body_time: Duration::from_millis(50),
    greeting_time: Duration::from_millis(50),
    max_connections: 1,
};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], length.as_slice(), message].concat()
}

struct Got {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

impl Got {
    async fn from(answer: Answer) -> Self {
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.to_bytes(),
            trailers,
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .or(self.trailers.get(name))
            .map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

async fn http(
    clerk: &Clerk,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Got {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    Got::from(http::answer(LIMITS, clerk, request).await).await
}

async fn grpc(clerk: &Clerk, path: &str, encoding: &str, body: Vec<u8>) -> Got {
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding);
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    Got::from(grpc::answer(LIMITS, clerk, request).await).await
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

#[tokio::test]
async fn bodies_arrive_as_they_were_before_compression() {
    let clerk = Clerk::new(Ok(Accepted::default()));
    let cases = [
        ("identity", b"abc".to_vec()),
        ("gzip", gzip(b"abc")),
        ("zstd", zstd(b"abc")),
    ];
    for (encoding, body) in cases {
        let flag = u8::from(encoding != "identity");
        let got = grpc(&clerk, TRACES, encoding, framed(flag, &body)).await;
        assert_eq!(
            (got.status, got.header("grpc-status")),
            (200, "0"),
            "gRPC {encoding}"
        );
        assert_eq!(got.body, framed(0, b""));
        let got = http(
            &clerk,
            "POST",
            "/v1/metrics",
            &[PROTOBUF, ("content-encoding", encoding)],
            body,
        )
        .await;
        assert_eq!((got.status, got.body.len()), (200, 0), "HTTP {encoding}");
    }
    let got = grpc(&clerk, METRICS, "gzip", framed(0, b"abc")).await;
    assert_eq!(
        got.header("grpc-status"),
        "0",
        "not every message need be compressed"
    );
    let abc = Bytes::from_static(b"abc");
    let pair = [
        (Signal::Traces, abc.clone()),
        (Signal::Metrics, abc.clone()),
    ];
    let expected = [pair.as_slice(), &pair, &pair, &[(Signal::Metrics, abc)]].concat();
    assert_eq!(clerk.bodies(), expected);
    assert_eq!(*clerk.refused.lock().unwrap(), []);
}

#[tokio::test]
async fn a_bomb_is_too_large_and_not_worth_a_retry() {
    let clerk = Clerk::new(Ok(Accepted::default()));
    let zeros = vec![0; 10_000_000];
    for (encoding, body) in [
        ("gzip", gzip(&zeros)),
        ("zstd", zstd(&zeros)),
        ("identity", vec![0; 1001]),
    ] {
        let flag = u8::from(encoding != "identity");
        let body = if body.len() > 1000 && flag == 1 {
            body[..1000].to_vec()
        } else {
            body
        };
        let got = http(
            &clerk,
            "POST",
            "/v1/traces",
            &[PROTOBUF, ("content-encoding", encoding)],
            body.clone(),
        )
        .await;
        assert_eq!(
            (got.status, got.header("retry-after")),
            (413, ""),
            "{encoding}"
        );
        let got = grpc(&clerk, TRACES, encoding, framed(flag, &body)).await;
        assert_eq!(
            got.header("grpc-status"),
            "8",
            "{encoding}: {}",
            got.header("grpc-message")
        );
        assert!(!decoded_details(&got).contains("RetryInfo"));
    }
    assert_eq!(clerk.bodies(), []);
}

fn decoded_details(got: &Got) -> String {
    let status = tonic::Status::from_header_map(&got.headers).unwrap();
    String::from_utf8_lossy(status.details()).into_owned()
}

#[tokio::test]
async fn what_cannot_be_decompressed_is_the_clients_mistake() {
    let clerk = Clerk::new(Ok(Accepted::default()));
    let cut = gzip(&[7; 500]);
    for (encoding, body) in [
        ("gzip", &b"no gzip"[..]),
        ("zstd", b"no zstd"),
        ("gzip", &cut[..cut.len() - 3]),
    ] {
        let got = http(
            &clerk,
            "POST",
            "/v1/traces",
            &[PROTOBUF, ("content-encoding", encoding)],
            body.to_vec(),
        )
        .await;
        assert_eq!(got.status, 400);
        let got = grpc(&clerk, TRACES, encoding, framed(1, body)).await;
        assert_eq!(got.header("grpc-status"), "3");
    }
    let got = http(
        &clerk,
        "POST",
        "/v1/traces",
        &[PROTOBUF, ("content-encoding", "br")],
        vec![],
    )
    .await;
    assert_eq!(got.status, 415);
    let got = grpc(&clerk, TRACES, "br", framed(1, b"")).await;
    assert_eq!(got.header("grpc-status"), "12");
}

#[tokio::test]
async fn refusals_have_the_codes_that_otlp_prescribes() {
    let cases = [
        (
            Refusal::Malformed("spans[3].trace_id: 15 bytes".into()),
            400,
            "3",
            false,
        ),
        (Refusal::TooLarge { limit: 5 }, 413, "8", false),
        (Refusal::Full, 429, "8", true),
        (Refusal::Unavailable("disk".into()), 503, "14", true),
    ];
    for (refusal, status, code, retry) in cases {
        let clerk = Clerk::new(Err(refusal.clone()));
        let got = http(&clerk, "POST", "/v1/traces", &[PROTOBUF], vec![]).await;
        assert_eq!(got.status, status);
        assert_eq!(got.header("content-type"), "application/x-protobuf");
        assert!(
            got.text().contains(&refusal.to_string()),
            "a google.rpc.Status with the message"
        );
        assert_eq!(got.header("retry-after"), if retry { "1" } else { "" });
        let got = grpc(&clerk, TRACES, "identity", framed(0, b"")).await;
        assert_eq!(got.header("grpc-status"), code);
        assert_eq!(
            decoded_details(&got).contains("google.rpc.RetryInfo"),
            retry
        );
        assert_eq!(clerk.refused.lock().unwrap().len(), 2, "both are counted");
    }
}

#[tokio::test]
async fn refused_items_are_a_partial_success() {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    use prost::Message;
    let clerk = Clerk::new(Ok(Accepted {
        rejected: 2,
        reason: Some("bad ids".into()),
    }));
    let got = http(&clerk, "POST", "/v1/traces", &[PROTOBUF], vec![]).await;
    let partial = ExportTraceServiceResponse::decode(got.body)
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(
        (
            got.status,
            partial.rejected_spans,
            partial.error_message.as_str()
        ),
        (200, 2, "bad ids")
    );
    let got = grpc(&clerk, TRACES, "identity", framed(0, b"")).await;
    let partial = ExportTraceServiceResponse::decode(got.body.slice(5..))
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(
        (got.header("grpc-status"), partial.rejected_spans),
        ("0", 2)
    );
}

#[tokio::test]
async fn wrong_requests_are_told_what_to_do() {
    let clerk = Clerk::new(Ok(Accepted::default()));
    let json = ("content-type", "application/json; charset=utf-8");
    let got = http(&clerk, "POST", "/v1/traces", &[json], b"{}".to_vec()).await;
    assert_eq!(
        (got.status, got.header("content-type")),
        (415, "application/json")
    );
    assert!(
        got.text()
            .contains("OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
        "{}",
        got.text()
    );
    let got = http(
        &clerk,
        "POST",
        "/v1/traces",
        &[("content-type", "application/grpc")],
        vec![],
    )
    .await;
    assert!(got.status == 415 && got.text().contains("4317"));
    assert_eq!(
        http(&clerk, "POST", "/v1/trace", &[PROTOBUF], vec![])
            .await
            .status,
        404
    );
    let got = http(&clerk, "POST", "/v1/logs", &[PROTOBUF], vec![]).await;
    assert!(got.status == 404 && got.text().contains("logs are not stored here"));
    let got = http(&clerk, "GET", "/v1/traces", &[], vec![]).await;
    assert_eq!((got.status, got.header("allow")), (405, "POST"));
    let got = http(&clerk, "GET", "/metrics", &[], vec![]).await;
    assert_eq!((got.status, got.text().as_str()), (200, "metrics 1\n"));

    let logs = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    assert_eq!(
        grpc(&clerk, logs, "identity", framed(0, b""))
            .await
            .header("grpc-status"),
        "12"
    );
    for broken in [
        vec![],
        vec![0, 0, 0, 0],
        framed(2, b"x"),
        [framed(0, b"x"), vec![1]].concat(),
    ] {
        assert_eq!(
            grpc(&clerk, TRACES, "identity", broken)
                .await
                .header("grpc-status"),
            "3"
        );
    }
    let request = Request::post(TRACES).body(Full::new(Bytes::new())).unwrap();
    let got = Got::from(grpc::answer(LIMITS, &clerk, request).await).await;
    assert!(got.status == 415 && got.text().contains("4318"));
    assert_eq!(clerk.bodies(), []);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    struct Never;
    impl Body for Never {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
    let clerk = Clerk::new(Ok(Accepted::default()));
    let request = Request::post("/v1/traces")
        .header(PROTOBUF.0, PROTOBUF.1)
        .body(Never)
        .unwrap();
    assert_eq!(http::answer(LIMITS, &clerk, request).await.status(), 408);
}

#[tokio::test]
async fn exports_that_together_are_too_much_are_to_be_sent_again() {
    let clerk = Clerk::new(Ok(Accepted::default()));
    let limits = Limits {
        body_time: Duration::from_secs(20),
        ..LIMITS
    };
    let send = || {
        let request = Request::post("/v1/traces")
            .header(PROTOBUF.0, PROTOBUF.1)
            .body(Full::new(Bytes::from_static(b"x")))
            .unwrap();
        http::answer(limits, &clerk, request)
    };
    let mut others = clerk.memory.held();
    others.grow_to(1 << 20).await.unwrap();
    let got = send().await;
    assert_eq!(got.status(), 429);
    assert!(got.headers().contains_key("retry-after"));
    drop(others);
    assert_eq!(send().await.status(), 200);
    let mut others = clerk.memory.held();
    others.grow_to(1 << 20).await.expect("all came back");
}

#[tokio::test]
async fn connections_that_say_nothing_give_way_to_others() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (listener, address) = listen::listen("--otlp-http", "127.0.0.1:0", false)
        .await
        .unwrap();
    let (stopper, stop) = crate::shutdown::stop();
    let clerk = Arc::new(Clerk::new(Ok(Accepted::default())));
    let serving = tokio::spawn(serve(listener, Protocol::Http, LIMITS, clerk, stop));
    let mut silent = Vec::new();
    for said in ["", "P", "PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("the only place became free")
        .unwrap();
    assert!(answer.ends_with("metrics 1\n"), "{answer}");
    stopper.stop();
    serving.await.unwrap();
}

#[tokio::test]
async fn addresses_are_checked_before_they_are_bound() {
    use listen::{ListenError, listen};
    let (taken, address) = listen("--otlp-grpc", "127.0.0.1:0", false).await.unwrap();
    let error = listen("--otlp-grpc", &address.to_string(), false)
        .await
        .unwrap_err();
    assert!(matches!(error, ListenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()));
    drop(taken);
    let error = listen("--otlp-http", "0.0.0.0:0", false).await.unwrap_err();
    assert!(error.to_string().contains("--allow-public"), "{error}");
    listen("--otlp-http", "0.0.0.0:0", true).await.unwrap();
    let error = listen("--otlp-http", "nonsense", false).await.unwrap_err();
    assert!(matches!(error, ListenError::Resolve { .. }), "{error}");
}
