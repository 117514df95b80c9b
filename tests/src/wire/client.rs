//! Takes an address and a version. Gives the answers of one connection, several at a time where the version can.
//! Never sends anything twice.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::{Connection, Version, runtime, unix_path};
use crate::process::PATIENCE;

/// The authority that every request names.
pub const AUTHORITY: &str = "localhost:4711";

enum Sender {
    One(http1::SendRequest<Sent>),
    Two(http2::SendRequest<Sent>),
}

/// What a request sends.
struct Sent {
    body: Full<Bytes>,
    /// It goes no further than this, and does not end.
    stalls: bool,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            // It is reset from the other side, or dropped.
            Poll::Ready(None) if self.stalls => Poll::Pending,
            frame => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.stalls && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.stalls {
            return SizeHint::new();
        }
        self.body.size_hint()
    }
}

/// One connection.
pub struct Client {
    sender: Sender,
    scheme: &'static str,
    certificate: Option<CertificateDer<'static>>,
}

/// A request whose answer is on the way; dropping it gives it up.
pub struct Exchange(JoinHandle<hyper::Result<Response<Incoming>>>);

/// An answer whose body comes piece by piece; dropping it gives it up.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
}

impl Client {
    /// Connects to `HOST:PORT` or `unix:/path`.
    ///
    /// # Errors
    /// When nothing listens there, or a handshake fails.
    pub fn connect(at: &str, version: Version, tls: Option<ClientConfig>) -> io::Result<Self> {
        within(async {
            let plain: Box<dyn Connection> = match unix_path(at) {
                Some(path) => Box::new(UnixStream::connect(path).await?),
                None => {
                    let stream = TcpStream::connect(at).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
            };
            let Some(tls) = tls else {
                return Self::open(plain, version, "http", None).await;
            };
            let name = ServerName::try_from("localhost").expect("a name");
            let stream = TlsConnector::from(Arc::new(tls))
                .connect(name, plain)
                .await?;
            let shown = stream.get_ref().1.peer_certificates();
            let certificate = shown
                .and_then(<[_]>::first)
                .map(|cert| cert.clone().into_owned());
            Self::open(Box::new(stream), version, "https", certificate).await
        })
    }

    async fn open(
        stream: Box<dyn Connection>,
        version: Version,
        scheme: &'static str,
        certificate: Option<CertificateDer<'static>>,
    ) -> io::Result<Self> {
        let io = TokioIo::new(stream);
        let sender = match version {
            Version::One => {
                let opened = http1::Builder::new()
                    .title_case_headers(true)
                    .handshake(io)
                    .await;
                let (sender, connection) = opened.map_err(io::Error::other)?;
                tokio::spawn(connection);
                Sender::One(sender)
            }
            Version::Two => {
                let opened = http2::Builder::new(TokioExecutor::new())
                    .handshake(io)
                    .await;
                let (sender, connection) = opened.map_err(io::Error::other)?;
                tokio::spawn(connection);
                Sender::Two(sender)
            }
        };
        Ok(Self {
            sender,
            scheme,
            certificate,
        })
    }

    /// What the server showed.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certificate.as_ref()
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When it is none.
    pub fn start(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Exchange {
        self.send(method, path, headers, body, false)
    }

    /// Sends a request that stalls behind these bytes of its body.
    ///
    /// # Panics
    /// When it is none.
    pub fn start_and_stall(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Exchange {
        self.send(&Method::POST, path, headers, body, true)
    }

    fn send(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
        stalls: bool,
    ) -> Exchange {
        let mut request = Request::builder().method(method);
        request = match &self.sender {
            Sender::One(_) => request.uri(path).header("host", AUTHORITY),
            Sender::Two(_) => request.uri(format!("{}://{AUTHORITY}{path}", self.scheme)),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::from(body.to_owned()));
        let request = request.body(Sent { body, stalls }).expect("a request");
        // Only the connection drives it: what waits for the answer is a task, so that dropping it is a sign.
        match &mut self.sender {
            Sender::One(sender) => Exchange(runtime().spawn(sender.send_request(request))),
            Sender::Two(sender) => Exchange(runtime().spawn(sender.send_request(request))),
        }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// When the connection ends without one.
    pub fn open_answer(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        // A connection of HTTP/1.1 takes the next request when the last answer has ended.
        within(async {
            match &mut self.sender {
                Sender::One(sender) => sender.ready().await,
                Sender::Two(sender) => sender.ready().await,
            }
            .map_err(io::Error::other)
        })?;
        self.start(method, path, headers, body).answer()
    }

    /// A POST of JSON and the whole answer to it.
    ///
    /// # Errors
    /// When the connection ends before the answer does.
    pub fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<(Answer, Vec<u8>)> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let mut answer = self.open_answer(&Method::POST, path, &all, body)?;
        let mut whole = Vec::new();
        while let Some(piece) = answer.piece()? {
            whole.extend_from_slice(&piece);
        }
        Ok((answer, whole))
    }
}

impl Exchange {
    /// # Errors
    /// When the connection, or this stream of it, ends without an answer.
    pub fn answer(mut self) -> io::Result<Answer> {
        let response = within(async { (&mut self.0).await.map_err(io::Error::other) })?;
        let (head, body) = response.map_err(io::Error::other)?.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    /// The next piece of the body, or none at its end.
    ///
    /// # Errors
    /// When the body ends early.
    pub fn piece(&mut self) -> io::Result<Option<Bytes>> {
        within(async {
            loop {
                match self.body.frame().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(io::Error::other(error)),
                    Some(Ok(frame)) => {
                        // HTTP/2 may end with a frame that holds nothing.
                        if let Ok(data) = frame.into_data()
                            && !data.is_empty()
                        {
                            return Ok(Some(data));
                        }
                    }
                }
            }
        })
    }
}

fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    runtime().block_on(async {
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(done) => done,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    })
}
