//! Takes the bytes of one HTTP/1.1 message as they come in. Gives where its head and its body end.
//! Never allocates: a bench's peers must cost less than what they measure.

use anyhow::{Context, Result, bail};

/// Where one whole message ends inside the buffer.
pub struct Extent {
    pub head: usize,
    pub end: usize,
}

/// `None` while bytes are missing. The body's chunk framing, if any, is part of the message.
pub fn extent(buffer: &[u8]) -> Result<Option<Extent>> {
    let Some(blank) = memchr::memmem::find(buffer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = blank + 4;
    let (lines, body) = buffer.split_at(head);
    let length = match framing(lines)? {
        Framing::Length(length) => (body.len() >= length).then_some(length),
        Framing::Chunked => chunked_length(body)?,
    };
    Ok(length.map(|length| Extent {
        head,
        end: head + length,
    }))
}

enum Framing {
    Length(usize),
    Chunked,
}

fn framing(head: &[u8]) -> Result<Framing> {
    for line in head.split(|byte| *byte == b'\n') {
        if let Some(value) = header(line, b"content-length:") {
            return Ok(Framing::Length(number(value, 10)?));
        }
        if header(line, b"transfer-encoding:").is_some() {
            return Ok(Framing::Chunked);
        }
    }
    Ok(Framing::Length(0))
}

fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

fn chunked_length(body: &[u8]) -> Result<Option<usize>> {
    let mut at = 0;
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let Some(line_end) = memchr::memmem::find(rest, b"\r\n") else {
            return Ok(None);
        };
        let size = number(rest.get(..line_end).unwrap_or_default(), 16)?;
        at += line_end + 2 + size + 2;
        if at > body.len() {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

fn number(digits: &[u8], radix: u32) -> Result<usize> {
    let text = std::str::from_utf8(digits)?.trim();
    if text.is_empty() {
        bail!("a length is empty");
    }
    usize::from_str_radix(text, radix).with_context(|| format!("a length is not a number: {text}"))
}
