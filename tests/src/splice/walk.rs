//! Takes both texts. Gives how many places were written, reading them side by side.
//! Never accepts a difference it has no name for.
//!
//! Members go directly behind an opening brace:
//! `"traceparent":"…"` into `_meta`, `"_meta":{…}` into params, `"params":{"_meta":{…}}` into the message;
//! a comma follows unless the object was empty. An existing value is replaced where it stands.

use super::is_traceparent;

/// # Errors
/// The first difference that is no splice.
pub fn walk(sent: &[u8], arrived: &[u8]) -> Result<usize, String> {
    let mut walk = Walk {
        sent,
        arrived,
        i: 0,
        j: 0,
        last_string: None,
        value: None,
        sites: 0,
    };
    walk.run()?;
    Ok(walk.sites)
}

struct Walk<'a> {
    sent: &'a [u8],
    arrived: &'a [u8],
    i: usize,
    j: usize,
    /// The last whole string outside of values: a key, if a colon follows.
    last_string: Option<&'a [u8]>,
    /// The value that is being read: its key, and where it begins in both texts.
    value: Option<(&'a [u8], usize, usize)>,
    sites: usize,
}

impl<'a> Walk<'a> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(&byte) = self.sent.get(self.i) {
            if byte == b'"' {
                self.string()?;
                continue;
            }
            let begins_value = self.value.is_some_and(|(_, i, _)| i == self.i);
            if self.arrived.get(self.j) != Some(&byte) {
                self.replaced()?;
                continue;
            }
            self.i += 1;
            self.j += 1;
            match byte {
                b'{' => {
                    self.value = None;
                    self.inserted()?;
                }
                b':' => self.value_is_due(),
                b'[' | b']' | b'}' | b',' => self.value = None,
                b' ' | b'\t' | b'\r' | b'\n' if begins_value => self.value_is_due(),
                _ => {}
            }
        }
        if self.j < self.arrived.len() {
            return Err(format!("{} bytes too many", self.arrived.len() - self.j));
        }
        Ok(())
    }

    fn value_is_due(&mut self) {
        if let Some(key) = self.last_string {
            self.value = Some((key, self.i, self.j));
        }
    }

    fn string(&mut self) -> Result<(), String> {
        let end = string_end(self.sent, self.i).unwrap_or(self.sent.len());
        let length = end - self.i;
        let here = self.sent.get(self.i..end);
        if here.is_none() || self.arrived.get(self.j..self.j + length) != here {
            return self.replaced();
        }
        self.last_string = here;
        self.i = end;
        self.j += length;
        Ok(())
    }

    /// A difference: the value under one of the two keys may be another one.
    fn replaced(&mut self) -> Result<(), String> {
        let nowhere = format!("byte {} differs and is in no value of ours", self.i);
        let (key, i, j) = self.value.take().ok_or_else(|| nowhere.clone())?;
        let key: String = serde_json::from_slice(key).map_err(|_| nowhere.clone())?;
        let sent_end = value_end(self.sent, i).ok_or_else(|| nowhere.clone())?;
        let end = string_end(self.arrived, j).ok_or_else(|| nowhere.clone())?;
        let new: String = self
            .arrived
            .get(j..end)
            .and_then(|text| serde_json::from_slice(text).ok())
            .ok_or_else(|| nowhere.clone())?;
        match key.as_str() {
            "traceparent" if is_traceparent(&new) => self.sites += 1,
            "tracestate" => {}
            _ => return Err(nowhere),
        }
        (self.i, self.j) = (sent_end, end);
        Ok(())
    }

    /// Behind an opening brace: members may have come in.
    fn inserted(&mut self) -> Result<(), String> {
        let rest = self.arrived.get(self.j..).unwrap_or(&[]);
        let sent = self.sent.get(self.i..).unwrap_or(&[]);
        let mut reader = Reader {
            rest,
            // Then it is the sent one, and what is behind the new member is no second new one.
            tracestate_is_next: sent.starts_with(TRACESTATE),
        };
        let Some(writes) = reader.splice() else {
            return Ok(());
        };
        let next = sent.iter().find(|byte| !byte.is_ascii_whitespace());
        let empty = next == Some(&b'}');
        if !empty && !reader.take(b",") {
            return Ok(());
        }
        let length = rest.len() - reader.rest.len();
        // A member that is there already is replaced, never written a second time.
        let key = string_end(rest, 0).and_then(|end| rest.get(..end));
        if key.is_some_and(|key| sent.starts_with(key)) {
            return Ok(());
        }
        self.j += length;
        self.sites += writes;
        Ok(())
    }
}

/// Reads the members that a splice writes, in the one form it writes them.
struct Reader<'a> {
    rest: &'a [u8],
    tracestate_is_next: bool,
}

const TRACESTATE: &[u8] = b"\"tracestate\"";

impl Reader<'_> {
    /// How many new `traceparent` members were read; none when this is no splice.
    fn splice(&mut self) -> Option<usize> {
        if self.take(b"\"params\":{\"_meta\":{") {
            let writes = self.members(false)?;
            return self.take(b"}}").then_some(writes);
        }
        if self.take(b"\"_meta\":{") {
            let writes = self.members(false)?;
            return self.take(b"}").then_some(writes);
        }
        self.members(self.tracestate_is_next)
    }

    fn members(&mut self, only_one: bool) -> Option<usize> {
        if self.take(b"\"traceparent\":") {
            if !is_traceparent(&self.string()?) {
                return None;
            }
            if !only_one && self.take(b",\"tracestate\":") {
                self.string()?;
            }
            return Some(1);
        }
        if self.take(b"\"tracestate\":") {
            self.string()?;
            return Some(0);
        }
        None
    }

    fn string(&mut self) -> Option<String> {
        let end = string_end(self.rest, 0)?;
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        serde_json::from_slice(text).ok()
    }

    fn take(&mut self, text: &[u8]) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else {
            return false;
        };
        self.rest = rest;
        true
    }
}

/// The place behind the string whose quote stands at `start`.
fn string_end(text: &[u8], start: usize) -> Option<usize> {
    if text.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The place behind the value that begins at `start`.
fn value_end(text: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}
