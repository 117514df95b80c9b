//! Takes an OTLP receiver and a rate. Gives it spans at that rate over gRPC.
//! Never encodes while it runs: it stands for the exports that a row without a sidecar lacks.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};

use crate::{otlp, report};

pub const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

pub async fn run(to: SocketAddr, rate: f64, batch: usize) -> Result<()> {
    if !(rate > 0.0 && batch > 0) {
        bail!("rate and batch must be positive");
    }
    report::end_with_stdin();
    let stream = TcpStream::connect(to)
        .await
        .with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = framed(&otlp::export(batch))?;
    let mut ticks = interval(Duration::from_secs_f64(batch as f64 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        let request = Request::post(format!("http://{to}{PATH}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(body.clone()))?;
        let response = sender.send_request(request).await?;
        response.into_body().collect().await?;
    }
}

/// A gRPC message: not compressed, four bytes of length, the bytes.
pub fn framed(message: &[u8]) -> Result<Bytes> {
    let length = u32::try_from(message.len())?.to_be_bytes();
    Ok([&[0], &length[..], message].concat().into())
}
