//! Takes a bound socket and the receiver's state. Gives its gRPC side, until it is told to stop.
//! Never decides anything: the state does.

use std::net::TcpListener;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::sync::oneshot;
use tonic::codec::CompressionEncoding;
use tonic::codegen::Service as _;
use tonic::{Request, Response, Status, async_trait};

use super::{Reply, State};

const MAX_MESSAGE: usize = 64 << 20;

pub(super) fn serve(listener: TcpListener, state: Arc<State>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    // No graceful end: a hanging request is what some tests want. The runtime takes its tasks with it.
    runtime.block_on(async {
        tokio::select! {
            outcome = accept(listener, state) => outcome.expect("the receiver serves"),
            _ = stopped => {}
        }
    });
}

async fn accept(listener: TcpListener, state: Arc<State>) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let traces = TraceServiceServer::new(Service(state.clone()))
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip);
    let metrics = MetricsServiceServer::new(Service(state))
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (traces, metrics) = (traces.clone(), metrics.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (mut traces, mut metrics) = (traces.clone(), metrics.clone());
            async move {
                if request.uri().path().contains(".metrics.") {
                    metrics.call(request).await
                } else {
                    traces.call(request).await
                }
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        // A peer that breaks off is part of many tests.
        tokio::spawn(async move { drop(connection.await) });
    }
}

struct Service(Arc<State>);

impl Service {
    async fn pause(&self) {
        match self.0.delay() {
            Some(delay) => tokio::time::sleep(delay).await,
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.pause().await;
        let export = request.into_inner();
        let rejected = accepted(self.0.note(|received| received.traces.push(export)))?;
        Ok(Response::new(trace_response(rejected)))
    }
}

#[async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.pause().await;
        let export = request.into_inner();
        accepted(self.0.note(|received| received.metrics.push(export)))?;
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

pub(super) fn trace_response(rejected_spans: i64) -> ExportTraceServiceResponse {
    ExportTraceServiceResponse {
        partial_success: (rejected_spans > 0).then(|| ExportTracePartialSuccess {
            rejected_spans,
            error_message: "as told".to_owned(),
        }),
    }
}

fn accepted(reply: Reply) -> Result<i64, Status> {
    match reply {
        Reply::Accepted { rejected_spans } => Ok(rejected_spans),
        Reply::Unavailable => Err(Status::unavailable("as told")),
        Reply::Refused => Err(Status::invalid_argument("as told")),
    }
}
