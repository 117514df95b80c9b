//! Takes a seed. Gives JSON-RPC messages of every shape a peer may send, and lines that are none.
//! Never gives two different streams for one seed: a failure is repeated by its seed.

use fastrand::Rng;

mod value;

pub use value::Whitespace;

/// A stream of messages, without end.
pub struct Generator {
    rng: Rng,
    next_id: u64,
    white: Whitespace,
}

/// Who sends: the client mostly sends requests, the server mostly sends responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Client,
    Server,
}

const METHODS: [&str; 12] = [
    "tools/call",
    "tools/call",
    "tools/call",
    "tools/list",
    "resources/read",
    "prompts/get",
    "initialize",
    "ping",
    "server/discover",
    "completion/complete",
    "x/own-method",
    "tools\\/call",
];

const NOTIFICATIONS: [&str; 4] = [
    "notifications/initialized",
    "notifications/progress",
    "notifications/message",
    "notifications/cancelled",
];

/// Ways to spell the key `_meta`; all but the first two are other keys or the same one with an escape.
const META_KEYS: [&str; 6] = [
    "_meta",
    "_meta",
    "_meta",
    "\\u005fmeta",
    "_met\\u0061",
    "_Meta",
];

const CONTEXTS: [&str; 7] = [
    "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"",
    "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\"",
    "\"00-00000000000000000000000000000000-b7ad6b7169203331-01\"",
    "\"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-will-be-like\"",
    "\"not a context\"",
    "null",
    "{\"00\":[1]}",
];

impl Generator {
    #[must_use]
    pub fn new(seed: u64, white: Whitespace) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            next_id: 1,
            white,
        }
    }

    /// One line or body, without a line end.
    pub fn next(&mut self, from: From) -> Vec<u8> {
        let text = match self.rng.u8(0..100) {
            0..=2 => self.batch(from),
            3..=4 => return self.garbage(),
            _ => self.message(from),
        };
        text.into_bytes()
    }

    fn message(&mut self, from: From) -> String {
        let roll = self.rng.u8(0..100);
        match from {
            From::Client if roll < 80 => self.request(),
            From::Client if roll < 90 => self.notification(),
            From::Server if roll < 70 => self.response(),
            From::Server if roll < 88 => self.notification(),
            From::Server => self.request(),
            From::Client => self.response(),
        }
    }

    fn request(&mut self) -> String {
        let id = self.id();
        let method = self.pick(&METHODS).to_owned();
        let mut members = vec![
            ("jsonrpc", "\"2.0\"".to_owned()),
            ("id", id),
            ("method", format!("\"{method}\"")),
        ];
        match self.rng.u8(0..100) {
            0..=9 => {}
            10..=12 => members.push(("params", self.odd_value())),
            13..=15 => {
                members.push(("params", self.params(0)));
                members.push(("params", self.params(0)));
            }
            _ => members.push(("params", self.params(2))),
        }
        if self.rng.u8(0..20) == 0 {
            members.push(("par\\u0061ms", self.params(1)));
        }
        if self.rng.u8(0..4) == 0 {
            self.rng.shuffle(&mut members);
        }
        self.object(members)
    }

    fn notification(&mut self) -> String {
        let method = self.pick(&NOTIFICATIONS).to_owned();
        let mut members = vec![
            ("jsonrpc", "\"2.0\"".to_owned()),
            ("method", format!("\"{method}\"")),
        ];
        if self.rng.bool() {
            members.push(("params", self.params(1)));
        }
        self.object(members)
    }

    fn response(&mut self) -> String {
        let id = match self.rng.u8(0..20) {
            0 => "null".to_owned(),
            1 => self.rng.u64(..).to_string(),
            _ => self.rng.u64(0..=self.next_id).to_string(),
        };
        let body = if self.rng.u8(0..8) == 0 {
            let data = self.value(2);
            (
                "error",
                format!("{{\"code\":-32055,\"message\":\"no\",\"data\":{data}}}"),
            )
        } else {
            ("result", self.params(2))
        };
        self.object(vec![("jsonrpc", "\"2.0\"".to_owned()), ("id", id), body])
    }

    fn batch(&mut self, from: From) -> String {
        let count = self.rng.usize(0..5);
        let elements: Vec<String> = (0..count)
            .map(|_| match self.rng.u8(0..10) {
                0 => self.value(1),
                _ => self.message(from),
            })
            .collect();
        self.array(&elements)
    }

    /// The object under `params`, or `result`: with or without `_meta`, in every place and form.
    fn params(&mut self, depth: u32) -> String {
        let mut members = vec![];
        for _ in 0..self.rng.usize(0..4) {
            let key = *self.pick(&["name", "arguments", "uri", "cursor", "a", "traceparent", ""]);
            let value = match key {
                "name" => self.text(),
                "arguments" if self.rng.bool() => self.params(depth.saturating_sub(1)),
                _ => self.value(depth),
            };
            members.push((key, value));
        }
        for _ in 0..*self.pick(&[0, 1, 1, 1, 1, 1, 1, 2]) {
            let key = *self.pick(&META_KEYS);
            let at = self.rng.usize(0..=members.len());
            let value = self.meta();
            members.insert(at, (key, value));
        }
        self.object(members)
    }

    fn meta(&mut self) -> String {
        match self.rng.u8(0..20) {
            0 => return self.odd_value(),
            1..=3 => return self.object(vec![]),
            _ => {}
        }
        let mut members = vec![];
        for _ in 0..self.rng.usize(0..4) {
            let key = *self.pick(&[
                "progressToken",
                "io.modelcontextprotocol/protocolVersion",
                "baggage",
                "tracestate",
                "traceparent",
                "traceparent",
                "trace\\u0070arent",
                "params",
                "_meta",
            ]);
            let value = match key {
                "traceparent" | "trace\\u0070arent" => (*self.pick(&CONTEXTS)).to_owned(),
                "tracestate" => "\"a=1,b=2\"".to_owned(),
                _ => self.value(1),
            };
            members.push((key, value));
        }
        self.object(members)
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        match self.rng.u8(0..20) {
            0 => format!("\"{}\"", self.next_id),
            // The sidecar keeps ids up to a limit; a longer one has a case of its own.
            1 => (*self.pick(&[
                "\"caf\u{e9}\"",
                "\"\"",
                "\"\\u005f\\n\"",
                "\"{\\\"id\\\":1}\"",
            ]))
            .to_owned(),
            2 => "9007199254740993".to_owned(),
            3 => format!("-{}", self.next_id),
            4 => "null".to_owned(),
            _ => self.next_id.to_string(),
        }
    }

    /// What is no JSON: it must pass as it came.
    fn garbage(&mut self) -> Vec<u8> {
        match self.rng.u8(0..7) {
            0 => b"Server listening on stdio".to_vec(),
            1 => b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{".to_vec(),
            2 => b"{\"id\":1,\"method\":\"m\"} trailing".to_vec(),
            3 => b"{\"id\":1,\"method\":\"\xff\xfe\"}".to_vec(),
            4 => b"{\"id\":01,\"method\":\"m\"}".to_vec(),
            5 => b"{'id':1,'method':'m'}".to_vec(),
            _ => b"\xef\xbb\xbf{\"id\":1,\"method\":\"m\"}".to_vec(),
        }
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        self.rng.choice(from).expect("the lists are not empty")
    }
}
