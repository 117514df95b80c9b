//! Takes frames to send, one by one and as they are. Gives both ends of a WebSocket connection, and the frames that
//! arrive with their exact bytes.
//! Never answers by itself, and never puts the pieces of a message together.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use crate::http_wire::{self, Head, Headers};
use crate::process::PATIENCE;

/// One frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub compressed: bool,
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    /// Without its mask.
    pub payload: Vec<u8>,
}

pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
const KEY: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

impl Frame {
    /// A frame of a client, which is masked.
    #[must_use]
    pub fn of_client(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            mask: Some(KEY),
            ..Self::of_server(opcode, payload)
        }
    }

    #[must_use]
    pub fn of_server(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            compressed: false,
            opcode,
            mask: None,
            payload: payload.into(),
        }
    }

    /// A piece that is not the last of its message.
    #[must_use]
    pub fn unfinished(self) -> Self {
        Self { fin: false, ..self }
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// The frame as it goes over the wire.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let bit = |set, bit| if set { bit } else { 0_u8 };
        let mut out = vec![bit(self.fin, 0x80) | bit(self.compressed, 0x40) | self.opcode];
        let masked = bit(self.mask.is_some(), 0x80);
        let length = self.payload.len();
        match u16::try_from(length) {
            Ok(short) if short < 126 => out.push(masked | short.to_be_bytes()[1]),
            Ok(medium) => {
                out.push(masked | 126);
                out.extend_from_slice(&medium.to_be_bytes());
            }
            Err(_) => {
                out.push(masked | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        out.extend(self.mask.into_iter().flatten());
        let key = self.mask.unwrap_or_default();
        let payload = self.payload.iter().zip(key.iter().cycle());
        out.extend(payload.map(|(byte, key)| byte ^ key));
        out
    }

    fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut first = [0];
        if from.read(&mut first)? == 0 {
            return Ok(None);
        }
        let [second] = take::<1>(from)?;
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(take(from)?)),
            127 => u64::from_be_bytes(take(from)?),
            short => u64::from(short),
        };
        let mask = match second & 0x80 {
            0 => None,
            _ => Some(take::<4>(from)?),
        };
        let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        from.read_exact(&mut payload)?;
        let key = mask.unwrap_or_default();
        let bytes = payload.iter_mut().zip(key.iter().cycle());
        bytes.for_each(|(byte, key)| *byte ^= key);
        Ok(Some(Self {
            fin: first[0] & 0x80 != 0,
            compressed: first[0] & 0x40 != 0,
            opcode: first[0] & 0x0f,
            mask,
            payload,
        }))
    }
}

fn take<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map(|()| bytes)
}

/// One end of a connection, after the handshake.
#[derive(Debug)]
pub struct End {
    stream: BufReader<TcpStream>,
    /// What the other side said to open it.
    pub head: Head,
}

impl End {
    /// Opens a connection as a client; the answer's head is kept, whatever it says.
    ///
    /// # Errors
    /// When nothing answers there.
    pub fn connect(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        let host = address.to_string();
        let mut all: Headers = [
            ("Host", host.as_str()),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        let more = headers.iter();
        all.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let line = format!("GET {path} HTTP/1.1");
        Self::begin(stream, |stream| {
            http_wire::write_message(stream, &line, &all, None)
        })
    }

    fn begin(
        stream: TcpStream,
        greet: impl FnOnce(&mut TcpStream) -> io::Result<()>,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = BufReader::new(stream);
        greet(stream.get_mut())?;
        let head = http_wire::read_head(&mut stream)?;
        let head = head.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self { stream, head })
    }

    /// # Errors
    /// When the connection has ended.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.stream.get_mut().write_all(&frame.bytes())
    }

    /// Sends bytes that need be no frame.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next frame; none at the end of the connection.
    ///
    /// # Errors
    /// When the connection breaks or nothing comes.
    pub fn receive(&mut self) -> io::Result<Option<Frame>> {
        Frame::read(&mut self.stream)
    }

    /// Whatever comes until the other side has ended.
    ///
    /// # Errors
    /// When the connection breaks or does not end.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).map(|_| rest)
    }

    /// Ends the connection as a host that lost its memory would: by a reset.
    ///
    /// # Errors
    /// When the system does not take the wish.
    pub fn reset(self) -> io::Result<()> {
        let at_once = Some(std::time::Duration::ZERO);
        let stream = self.stream.get_ref();
        Ok(rustix::net::sockopt::set_socket_linger(stream, at_once)?)
    }

    /// Ends our side; the other may go on.
    ///
    /// # Errors
    /// When the connection has ended already.
    pub fn half_close(&self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Write)
    }
}

/// A server that agrees to every WebSocket, and leaves the rest to the test.
pub struct Server {
    address: SocketAddr,
    accepted: Receiver<End>,
    _acceptor: JoinHandle<()>,
}

/// A server of many connections: each is read to its end, and frames are answered as told.
pub struct Many {
    server: Server,
    open: Arc<AtomicUsize>,
}

impl Many {
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn start(answer: impl Fn(&Frame) -> Option<Frame> + Send + Sync + 'static) -> Self {
        let open = Arc::new(AtomicUsize::new(0));
        let (counted, answer) = (Arc::clone(&open), Arc::new(answer));
        let server = Server::giving(move |mut end| {
            counted.fetch_add(1, Ordering::SeqCst);
            let (counted, answer) = (Arc::clone(&counted), Arc::clone(&answer));
            std::thread::spawn(move || {
                while let Ok(Some(frame)) = end.receive() {
                    let sent = answer(&frame).map(|frame| end.send(&frame));
                    if sent.is_some_and(|sent| sent.is_err()) {
                        break;
                    }
                }
                drop(end);
                counted.fetch_sub(1, Ordering::SeqCst);
            });
            true
        });
        Self { server, open }
    }

    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// How many connections are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Server {
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn start() -> Self {
        let (sender, accepted) = channel();
        // When the test is over nobody takes it.
        let server = Self::giving(move |end| sender.send(end).is_ok());
        Self { accepted, ..server }
    }

    /// Gives each connection away; false ends it.
    fn giving(give: impl Fn(End) -> bool + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("a bound socket has a name");
        let acceptor = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let Ok(mut end) = End::begin(stream, |_| Ok(())) else {
                    continue;
                };
                let yes = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mcp\r\n\r\n";
                if end.send_raw(yes.as_bytes()).is_ok() && !give(end) {
                    return;
                }
            }
        });
        Self {
            address,
            accepted: channel().1,
            _acceptor: acceptor,
        }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The server's end of the next connection.
    ///
    /// # Panics
    /// When none comes.
    #[must_use]
    pub fn accept(&self) -> End {
        self.accepted
            .recv_timeout(PATIENCE)
            .expect("a connection comes")
    }
}
