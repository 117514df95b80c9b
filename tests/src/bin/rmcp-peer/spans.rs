//! Takes the spans of a peer. Gives them to the endpoint of OTEL_EXPORTER_OTLP_ENDPOINT, as OTLP over HTTP.
//! Never delays a call: a thread of its own sends them, and what it cannot send is gone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// Where spans go, and the thread that takes them there.
pub struct Spans {
    to: SyncSender<Span>,
    sender: JoinHandle<()>,
}

impl Spans {
    pub fn start(service: &str) -> Self {
        let (to, from) = sync_channel(4096);
        let resource = resource(service);
        let sender = std::thread::spawn(move || send_all(&from, &resource));
        Self { to, sender }
    }

    pub fn send(&self, span: Span) {
        // A full channel or a thread that gave up costs spans, never calls.
        let _ = self.to.try_send(span);
    }

    /// Returns when everything is sent.
    pub fn end(self) {
        drop(self.to);
        let _ = self.sender.join();
    }
}

/// A span that begins now, under `parent` (a `traceparent`) or as a root.
pub fn begin(name: String, kind: SpanKind, parent: Option<&str>) -> Span {
    let mut parts = parent.unwrap_or_default().split('-').skip(1);
    let trace_id = parts.next().and_then(from_hex);
    let parent_span_id = parts.next().and_then(from_hex);
    Span {
        trace_id: trace_id.unwrap_or_else(|| fastrand::u128(1..).to_be_bytes().to_vec()),
        parent_span_id: parent_span_id.unwrap_or_default(),
        span_id: fastrand::u64(1..).to_be_bytes().to_vec(),
        name,
        kind: kind.into(),
        start_time_unix_nano: now(),
        flags: 1,
        ..Span::default()
    }
}

pub fn end(mut span: Span) -> Span {
    span.end_time_unix_nano = now();
    span
}

pub fn traceparent(span: &Span) -> String {
    format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .ok()
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .unwrap_or_default()
}

fn resource(service: &str) -> Resource {
    let given = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let given = given.split(',').filter_map(|pair| pair.split_once('='));
    Resource {
        attributes: std::iter::once(("service.name", service))
            .chain(given)
            .map(|(key, value)| KeyValue {
                key: key.to_owned(),
                value: Some(AnyValue {
                    value: Some(Value::StringValue(value.to_owned())),
                }),
                ..KeyValue::default()
            })
            .collect(),
        ..Resource::default()
    }
}

fn send_all(from: &Receiver<Span>, resource: &Resource) {
    let Ok(endpoint) = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT") else {
        return;
    };
    while let Ok(first) = from.recv() {
        let spans = std::iter::once(first).chain(from.try_iter()).collect();
        let export = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource.clone()),
                scope_spans: vec![ScopeSpans {
                    spans,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        if let Err(error) = post(&endpoint, &export.encode_to_vec()) {
            eprintln!("spans were not exported: {error:#}");
        }
    }
}

fn post(endpoint: &str, body: &[u8]) -> Result<()> {
    let host = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).with_context(|| format!("no one at {host}"))?;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    anyhow::ensure!(status.contains(" 200 "), "answer was {status}");
    Ok(())
}
