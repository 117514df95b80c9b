//! Takes a byte stream. Gives HTTP/1.1 messages with their exact bytes, and writes them as told.
//! Never normalises: names keep their case, values their spelling, bodies every byte.

use std::io::{self, BufRead, Write};

/// Header lines in the order and spelling they came in.
pub type Headers = Vec<(String, String)>;

/// A start line and its headers.
#[derive(Debug, Clone)]
pub struct Head {
    pub start_line: String,
    pub headers: Headers,
}

impl Head {
    /// The value of the first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"))
    }

    fn content_length(&self) -> Option<usize> {
        self.header("content-length")?.trim().parse().ok()
    }
}

#[must_use]
pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// The next head, or none at the end of the stream.
///
/// # Errors
/// When the stream fails, or holds no HTTP.
pub fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut start_line = String::new();
    if from.read_line(&mut start_line)? == 0 {
        return Ok(None);
    }
    let mut headers = Headers::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(invalid("the head ends early"));
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| invalid("a header without a colon"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(Some(Head {
        start_line: start_line.trim_end_matches(['\r', '\n']).to_owned(),
        headers,
    }))
}

/// The whole body that belongs to a head. Without a length it is empty for a request
/// and lasts to the end of the stream for a response.
///
/// # Errors
/// When the stream fails or ends early.
pub fn read_body(from: &mut impl BufRead, head: &Head, is_response: bool) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.is_chunked() {
        while let Some(chunk) = read_chunk(from)? {
            body.extend_from_slice(&chunk);
        }
    } else if let Some(length) = head.content_length() {
        body.resize(length, 0);
        from.read_exact(&mut body)?;
    } else if is_response {
        from.read_to_end(&mut body)?;
    }
    Ok(body)
}

/// The next chunk of a chunked body, or none at its end.
///
/// # Errors
/// When the stream fails, ends early, or holds no chunk.
pub fn read_chunk(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let size = line.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(size, 16).map_err(|_| invalid("no chunk size"))?;
    let mut chunk = vec![0; size];
    from.read_exact(&mut chunk)?;
    let mut end = String::new();
    from.read_line(&mut end)?;
    Ok((size > 0).then_some(chunk))
}

/// Writes a head and, if there is one, a body with its length, in one write.
///
/// # Errors
/// When the stream fails.
pub fn write_message(
    to: &mut impl Write,
    start_line: &str,
    headers: &Headers,
    body: Option<&[u8]>,
) -> io::Result<()> {
    let mut out = format!("{start_line}\r\n").into_bytes();
    for (name, value) in headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if let Some(body) = body {
        out.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        out.extend_from_slice(body);
    } else {
        out.extend_from_slice(b"\r\n");
    }
    to.write_all(&out)?;
    to.flush()
}

/// Writes one chunk; an empty one ends the body.
///
/// # Errors
/// When the stream fails.
pub fn write_chunk(to: &mut impl Write, chunk: &[u8]) -> io::Result<()> {
    let mut out = format!("{:x}\r\n", chunk.len()).into_bytes();
    out.extend_from_slice(chunk);
    out.extend_from_slice(b"\r\n");
    to.write_all(&out)?;
    to.flush()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
