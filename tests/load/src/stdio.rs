//! Takes a command that speaks MCP over pipes. Gives how long its calls take and what memory it used.
//! Never has two calls under way: what a message costs on its way is what is asked.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::report::{self, Samples};
use crate::server::{id_of, number_after};

pub struct Plan {
    pub command: Vec<String>,
    pub measure: Duration,
    pub warmup: Duration,
    pub big: Option<usize>,
}

/// Answers every line that has an id; `"bytes":N` in it asks for a result of that size.
pub fn serve() -> Result<()> {
    let mut input = BufReader::with_capacity(64 * 1024, std::io::stdin().lock());
    let mut output = std::io::stdout().lock();
    let mut line = Vec::new();
    let mut answer = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        if let Some(id) = id_of(&line) {
            answer.clear();
            answer.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
            answer.extend_from_slice(id);
            answer.extend_from_slice(br#","result":{"content":[{"type":"text","text":""#);
            let size = number_after(&line, br#""bytes":"#).map(std::str::from_utf8);
            let size = size.transpose()?.map_or(Ok(5), str::parse)?;
            answer.resize(answer.len() + size, b'x');
            answer.extend_from_slice(b"\"}]}}\n");
            output.write_all(&answer)?;
            output.flush()?;
        }
        line.clear();
    }
    Ok(())
}

pub fn call(plan: &Plan) -> Result<()> {
    let mut peer = Peer::spawn(&plan.command)?;
    let mut samples = Samples::with_room();
    let begin = Instant::now() + plan.warmup;
    let end = begin + plan.measure;
    loop {
        let sent = Instant::now();
        if sent >= end {
            break;
        }
        peer.call(r#"{"text":"hello"}"#)?;
        let done = Instant::now();
        samples.add(done - sent, sent >= begin && done <= end);
    }
    let cpu = peer.cpu()?;
    let memory = match plan.big {
        Some(size) => peer.memory_of_big(size)?,
        None => String::new(),
    };
    let summary = samples.summary(plan.measure);
    let cpu_us = cpu.as_secs_f64() * 1e6;
    peer.close()?;
    report::print(&format!("{{{summary},\"cpu_us\":{cpu_us:.0}{memory}}}"))
}

/// The command under measurement, with both ends of its pipes.
struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    line: Vec<u8>,
    next_id: u64,
}

impl Peer {
    fn spawn(command: &[String]) -> Result<Self> {
        let (program, arguments) = command.split_first().context("no command given")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {program}"))?;
        let to = child.stdin.take().context("no pipe to the child")?;
        let from = child.stdout.take().context("no pipe from the child")?;
        Ok(Self {
            child,
            to,
            from: BufReader::with_capacity(64 * 1024, from),
            line: Vec::new(),
            next_id: 10_000_000,
        })
    }

    fn call(&mut self, arguments: &str) -> Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        self.line.clear();
        writeln!(
            self.line,
            concat!(
                r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"echo","#,
                r#""arguments":{},"_meta":{{"progressToken":{}}}}}}}"#,
            ),
            id, arguments, id
        )?;
        self.to.write_all(&self.line)?;
        self.line.clear();
        self.from.read_until(b'\n', &mut self.line)?;
        let answered = id_of(&self.line).map(std::str::from_utf8).transpose()?;
        if answered.map(str::parse) != Some(Ok(id)) {
            bail!(
                "unexpected answer to {id}: {}",
                String::from_utf8_lossy(self.line.get(..200).unwrap_or(&self.line))
            );
        }
        Ok(())
    }

    /// Resident memory at rest, the peak around one big result, and the size of that result.
    fn memory_of_big(&mut self, size: usize) -> Result<String> {
        let idle = self.status("VmRSS:")?;
        // 5 resets the peak to what is resident now: start-up must not count against the call.
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")
            .context("cannot reset the peak of memory")?;
        self.call(&format!(r#"{{"bytes":{size}}}"#))?;
        let peak = self.status("VmHWM:")?;
        Ok(format!(
            r#","big_bytes":{},"idle_kib":{idle},"peak_kib":{peak}"#,
            self.line.len()
        ))
    }

    fn status(&self, key: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("{path} has no {key}"))
    }

    /// Time on a core of every thread of the command, to the nanosecond.
    fn cpu(&self) -> Result<Duration> {
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text.split_whitespace().next().context("empty schedstat")?;
            nanos += first.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    fn close(mut self) -> Result<()> {
        drop(self.to);
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the command ended with {status}");
        }
        Ok(())
    }
}
