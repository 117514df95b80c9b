//! The real exporters against a scripted collector on a socket.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

use super::*;

/// What one request asked for.
#[derive(Debug)]
struct Asked {
    path: String,
    authorization: Option<HeaderValue>,
    body: Bytes,
}

/// How the collector answers the n-th request for spans.
#[derive(Debug, Clone, Copy)]
enum Reply {
    Ok,
    Rejected(u8),
    Unavailable,
    Invalid,
}

/// `ExportTraceServiceResponse`: field 1 is the partial success, whose field 1 is the count.
fn message(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Rejected(spans) => vec![0x0a, 0x02, 0x08, spans],
        _ => Vec::new(),
    }
}

type Parts =
    StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

fn parts(frames: Vec<Frame<Bytes>>) -> Parts {
    let frames: Vec<_> = frames.into_iter().map(Ok).collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

fn grpc(reply: Reply) -> Response<Parts> {
    let status = match reply {
        Reply::Ok | Reply::Rejected(_) => "0",
        Reply::Unavailable => "14",
        Reply::Invalid => "3",
    };
    let message = message(reply);
    let mut framed = vec![0, 0, 0, 0, message.len() as u8];
    framed.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let mut frames = vec![Frame::trailers(trailers)];
    if status == "0" {
        frames.insert(0, Frame::data(framed.into()));
    }
    let mut response = Response::new(parts(frames));
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}

fn plain(reply: Reply) -> Response<Parts> {
    let status = match reply {
        Reply::Ok | Reply::Rejected(_) => 200,
        Reply::Unavailable => 503,
        Reply::Invalid => 400,
    };
    let mut response = Response::new(parts(vec![Frame::data(message(reply).into())]));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}

/// A collector that answers requests for spans by a script, then with success.
struct Collector {
    address: SocketAddr,
    asked: Receiver<Asked>,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    fn start(script: Vec<Reply>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = channel();
        let script = Arc::new(Mutex::new(script.into_iter()));
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tell, script) = (tell.clone(), Arc::clone(&script));
                let service =
                    service_fn(move |request| answer(request, tell.clone(), Arc::clone(&script)));
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _closed = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            address,
            asked,
            _runtime: runtime,
        }
    }

    fn settings(&self, protocol: Protocol) -> ExportSettings {
        let signal = |path: &str| SignalSettings {
            enabled: true,
            endpoint: match protocol {
                Protocol::Grpc => format!("http://{}", self.address),
                Protocol::HttpProtobuf => format!("http://{}{path}", self.address),
            },
            protocol,
            timeout: Duration::from_secs(10),
        };
        ExportSettings {
            enabled: true,
            traces: signal("/v1/traces"),
            metrics: signal("/v1/metrics"),
            headers: vec![("authorization".into(), Secret::new("Bearer x".into()))],
            service_name: Some("shop".into()),
            process_tenant: None,
            queue: QueueLimits::default(),
            metrics_interval: Duration::from_secs(3600),
        }
    }

    /// Waits for the next request for spans.
    fn next_spans(&self) -> Asked {
        loop {
            let asked = self.asked.recv_timeout(Duration::from_secs(10)).unwrap();
            if asked.path.contains("race") {
                return asked;
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    tell: std::sync::mpsc::Sender<Asked>,
    script: Arc<Mutex<std::vec::IntoIter<Reply>>>,
) -> Result<Response<Parts>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = head.uri.path().to_owned();
    let spans = path.contains("race");
    let reply = if spans {
        script.lock().unwrap().next().unwrap_or(Reply::Ok)
    } else {
        Reply::Ok
    };
    let _test_over = tell.send(Asked {
        path,
        authorization: head.headers.get("authorization").cloned(),
        body,
    });
    Ok(match head.version {
        http::Version::HTTP_2 => grpc(reply),
        _ => plain(reply),
    })
}

/// As `Telemetry::start`, in a hurry.
fn start_soon(settings: ExportSettings) -> (Telemetry, TelemetryOwner) {
    let resources = Resources::new(settings.service_name.clone());
    let mut plan = Plan::new(&settings, Arc::default());
    plan.pace.linger = Duration::from_millis(20);
    Telemetry::start_with(plan, Arc::default(), resources.clone(), move || {
        Ok(Otlp::new(&settings, resources).unwrap())
    })
    .unwrap()
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

const BOTH: [(Protocol, &str); 2] = [
    (
        Protocol::Grpc,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    ),
    (Protocol::HttpProtobuf, "/v1/traces"),
];

#[test]
fn spans_arrive_with_their_resource_and_headers() {
    for (protocol, path) in BOTH {
        let collector = Collector::start(vec![]);
        let (telemetry, owner) = start_soon(collector.settings(protocol));
        telemetry.record_call(call("acme"));
        let asked = collector.next_spans();
        assert_eq!(asked.path, path);
        assert_eq!(asked.authorization.unwrap(), "Bearer x");
        for text in [
            "tools/call add",
            "acme",
            "shop",
            "service.instance.id",
            "telemetry.sdk.name",
        ] {
            assert!(contains(&asked.body, text), "{text} over {protocol:?}");
        }
        finish(owner);
        assert_eq!(exported(&telemetry), 1);
    }
}

#[test]
fn a_retryable_refusal_is_tried_again() {
    for (protocol, _) in BOTH {
        let collector = Collector::start(vec![Reply::Unavailable, Reply::Unavailable]);
        let (telemetry, owner) = start_soon(collector.settings(protocol));
        telemetry.record_call(call("acme"));
        let bodies: Vec<_> = (0..3).map(|_| collector.next_spans().body).collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]));
        finish(owner);
        assert_eq!(exported(&telemetry), 1);
    }
}

#[test]
fn a_refusal_for_good_is_counted_and_not_repeated() {
    for (protocol, _) in BOTH {
        let collector = Collector::start(vec![Reply::Invalid]);
        let (telemetry, owner) = start_soon(collector.settings(protocol));
        telemetry.record_call(call("acme"));
        finish(owner);
        assert_eq!(dropped(&telemetry, DropReason::ExportFailed), 1);
        let asked: Vec<_> = collector.asked.try_iter().collect();
        let spans = asked.iter().filter(|asked| asked.path.contains("race"));
        assert_eq!(spans.count(), 1);
    }
}

#[test]
fn partial_success_is_counted_by_calls() {
    for (protocol, _) in BOTH {
        let collector = Collector::start(vec![Reply::Rejected(2)]);
        let (telemetry, owner) = start_soon(collector.settings(protocol));
        for _ in 0..5 {
            telemetry.record_call(call("acme"));
        }
        finish(owner);
        assert_eq!(dropped(&telemetry, DropReason::PartialSuccess), 2);
        assert_eq!(exported(&telemetry), 3);
    }
}

#[test]
fn no_collector_at_all_costs_the_deadline_and_no_more() {
    let collector = Collector::start(vec![]);
    let settings = collector.settings(Protocol::Grpc);
    drop(collector);
    let (telemetry, owner) = start_soon(settings);
    telemetry.record_call(call("acme"));
    let before = Instant::now();
    owner.finish(Duration::from_millis(300));
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(dropped(&telemetry, DropReason::Shutdown), 1);
}

#[test]
fn settings_that_cannot_work_are_told_at_the_start() {
    let collector = Collector::start(vec![]);
    let mut settings = collector.settings(Protocol::Grpc);
    settings.traces.endpoint = "https://localhost:4317".into();
    let error = Telemetry::start(settings, Arc::default(), Arc::default())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("https://localhost:4317"),
        "{error}"
    );
}
