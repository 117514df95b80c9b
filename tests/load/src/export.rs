//! Takes an OTLP receiver. Gives it exports over gRPC, as fast as it acknowledges them, and a report.
//! Never encodes while it runs, and never counts an export that was refused.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::feed::{PATH, framed};
use crate::{otlp, report};

/// Different exports that are sent in turn.
const BODIES: usize = 64;

pub async fn run(to: SocketAddr, connections: usize, batch: usize, seconds: f64) -> Result<()> {
    let bodies = (0..BODIES)
        .map(|i| framed(&otlp::export_from((i * batch) as u64, batch)))
        .collect::<Result<Vec<Bytes>>>()?;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut senders = JoinSet::new();
    for number in 0..connections {
        senders.spawn(send(to, bodies.clone(), number, until));
    }
    let (mut samples, began) = (report::Samples::with_room(), Instant::now());
    while let Some(sent) = senders.join_next().await {
        samples.join(sent??);
    }
    let took = began.elapsed();
    let spans = samples.calls * batch as u64;
    report::print(&format!(
        r#"{{{},"spans":{spans},"spans_per_second":{:.0}}}"#,
        samples.summary(took),
        spans as f64 / took.as_secs_f64()
    ))
}

async fn send(
    to: SocketAddr,
    bodies: Vec<Bytes>,
    first: usize,
    until: Instant,
) -> Result<report::Samples> {
    let stream = TcpStream::connect(to)
        .await
        .with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut samples = report::Samples::with_room();
    for body in bodies.iter().cycle().skip(first * 17) {
        let began = Instant::now();
        if began > until {
            break;
        }
        export(&mut sender, to, body.clone()).await?;
        samples.add(began.elapsed(), true);
    }
    Ok(samples)
}

async fn export(sender: &mut SendRequest<Full<Bytes>>, to: SocketAddr, body: Bytes) -> Result<()> {
    let request = Request::post(format!("http://{to}{PATH}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(body))?;
    let answer = sender.send_request(request).await?;
    let head = answer.headers().get("grpc-status").cloned();
    let body = answer.into_body().collect().await?;
    let status = head.or_else(|| body.trailers()?.get("grpc-status").cloned());
    if status.as_ref().is_none_or(|status| status != "0") {
        bail!("an export was refused with gRPC status {status:?}");
    }
    Ok(())
}
