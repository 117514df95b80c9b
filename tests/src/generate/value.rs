//! Takes the generator's random numbers. Gives JSON values in all their spellings.
//! Never gives text that a strict parser refuses.

use super::Generator;

/// Where white space may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whitespace {
    /// Spaces and tabs: a line of stdio has no line end inside.
    WithinLine,
    /// Line ends too, as an HTTP body may have.
    Any,
}

const NUMBERS: [&str; 14] = [
    "0",
    "-0",
    "1",
    "1.0",
    "1e2",
    "1E+2",
    "0.10",
    "-12.5e-3",
    "9007199254740993",
    "18446744073709551616",
    "123456789012345678901234567890",
    "3.141592653589793238462643383279",
    "1e400",
    "-1e-400",
];

const TEXTS: [&str; 16] = [
    "",
    "search",
    "get-weather",
    "caf\u{e9}",
    "\u{1f980}\u{200d}\u{1f680}",
    "\\ud83e\\udd80",
    "\\u0000\\u001f",
    "a\\nb\\tc\\\\d\\/e\\\"f",
    "\\\"_meta\\\":{\\\"traceparent\\\":\\\"x\\\"}",
    "{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":1,\\\"method\\\":\\\"m\\\"}",
    "_meta",
    "params",
    "\u{2028}\u{2029}\u{feff}",
    "]}],{[",
    "\\u005fmeta",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
];

impl Generator {
    pub(super) fn value(&mut self, depth: u32) -> String {
        let kinds = if depth == 0 { 6 } else { 9 };
        match self.rng.u8(0..kinds) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => "false".to_owned(),
            3 => (*self.pick(&NUMBERS)).to_owned(),
            4 | 5 => self.text(),
            6 => {
                let elements: Vec<String> = (0..self.rng.usize(0..4))
                    .map(|_| self.value(depth - 1))
                    .collect();
                self.array(&elements)
            }
            _ => {
                let count = self.rng.usize(0..4);
                let members = (0..count)
                    .map(|_| {
                        let key =
                            *self.pick(&["a", "b", "_meta", "traceparent", "params", "\\u0061"]);
                        (key, self.value(depth - 1))
                    })
                    .collect();
                self.object(members)
            }
        }
    }

    /// A value that is no object: where one is due, nothing may be written.
    pub(super) fn odd_value(&mut self) -> String {
        match self.rng.u8(0..5) {
            0 => "null".to_owned(),
            1 => self.text(),
            2 => (*self.pick(&NUMBERS)).to_owned(),
            3 => "true".to_owned(),
            _ => {
                let element = self.value(1);
                self.array(&[element])
            }
        }
    }

    pub(super) fn text(&mut self) -> String {
        let text = *self.pick(&TEXTS);
        match self.rng.u8(0..200) {
            0 => format!("\"{}\"", "x".repeat(self.rng.usize(0..70_000))),
            1..=9 => format!("\"{}\"", text.repeat(self.rng.usize(0..40))),
            _ => format!("\"{text}\""),
        }
    }

    pub(super) fn object(&mut self, members: Vec<(&str, String)>) -> String {
        let members: Vec<String> = members
            .into_iter()
            .map(|(key, value)| {
                let (before, after) = (self.space(), self.space());
                format!("\"{key}\"{before}:{after}{value}")
            })
            .collect();
        self.join('{', &members, '}')
    }

    pub(super) fn array(&mut self, elements: &[String]) -> String {
        self.join('[', elements, ']')
    }

    fn join(&mut self, open: char, parts: &[String], close: char) -> String {
        let mut out = String::from(open);
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            out.push_str(self.space());
            out.push_str(part);
            out.push_str(self.space());
        }
        if parts.is_empty() {
            out.push_str(self.space());
        }
        out.push(close);
        out
    }

    fn space(&mut self) -> &'static str {
        match (self.rng.u8(0..16), self.white) {
            (0, _) => " ",
            (1, _) => "\t  ",
            (2, Whitespace::Any) => "\r\n",
            (3, Whitespace::Any) => "\n    ",
            _ => "",
        }
    }
}
