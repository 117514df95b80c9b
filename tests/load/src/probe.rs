//! Takes a hop and what the scripted server behind it wrote down. Gives what the hop does to a call and to a stream.
//! Never asks the hop: what the server received is what counts.

mod compare;

use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::report;
use crate::session::{Endpoint, Session, tool_call};

pub use compare::Call;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// How long a server may take to be reached, and how long a stream's event may take after that.
const REACHED: Duration = Duration::from_secs(10);
const HELD: Duration = Duration::from_millis(300);
/// A hop that held the first event back so often will do it again.
const HELD_OFTEN: u32 = 3;

/// What a hop does to a call: sent by a client, seen by the server.
pub fn carriage(endpoint: &Endpoint, record: &Path) -> Result<()> {
    let mut session = Session::open(endpoint)?;
    let mut see = |message: &str, headers: &str, mark: &str| -> Result<Call> {
        session.call(message, headers)?;
        Call::find(&std::fs::read(record)?, mark)
    };
    // Keys in no order of any library, a number beyond 2^53, an escape: all of it legal JSON.
    let full = format!(
        concat!(
            r#"{{"params":{{"arguments":{{"z":1,"mark":"full","big":12345678901234567890,"#,
            r#""a":"\u00e9"}},"_meta":{{"zeta":{{"y":1,"x":2}},"traceparent":"{}","#,
            r#""alpha":1.50}},"name":"{}echo"}},"id":7001,"method":"tools/call","jsonrpc":"2.0"}}"#
        ),
        PARENT, endpoint.prefix
    );
    let bare = |mark: &str| {
        let arguments = format!(r#"{{"mark":"{mark}"}}"#);
        tool_call(endpoint, 7002, "echo", &arguments, "")
    };
    let with_meta = see(&full, "", "full")?;
    let without = see(&bare("bare"), "", "bare")?;
    let header = format!("traceparent: {PARENT}\r\n");
    let by_header = see(&bare("header"), &header, "header")?;
    let kept = with_meta.compare(&full, &endpoint.prefix)?;
    report::print(
        &json!({
            "meta_kept": with_meta.meta("alpha").is_some() && with_meta.meta("zeta").is_some(),
            "trace_kept": with_meta.trace_id().as_deref() == Some(TRACE),
            "injected": without.trace_id().is_some(),
            "header_to_meta": by_header.trace_id().as_deref() == Some(TRACE),
            "key_order": kept.order,
            "bytes": kept.bytes,
        })
        .to_string(),
    )
}

/// How long the first event of a stream takes, `count` times, each on a connection that was used before.
pub fn first_event(endpoint: &Endpoint, control: &PathBuf, count: u32) -> Result<()> {
    let control = Control::listen(control)?;
    let mut session = Session::open(endpoint)?;
    let (mut micros, mut held) = (Vec::new(), 0);
    for number in 0..count {
        let meta = format!(r#","_meta":{{"progressToken":{number}}}"#);
        let call = tool_call(endpoint, 8000 + u64::from(number), "stream", "{}", &meta);
        let sent = Instant::now();
        session.send(&call, "")?;
        match wait_for_event(&mut session)? {
            true => micros.push(sent.elapsed().as_secs_f64() * 1e6),
            false => held += 1,
        }
        // Only now may the server go on: an event that came before cannot have waited for the answer.
        drop(control.accept()?);
        session.set_patience(REACHED)?;
        session.read_whole()?;
        if held >= HELD_OFTEN {
            break;
        }
    }
    micros.sort_by(f64::total_cmp);
    let median: Option<f64> = micros.get(micros.len() / 2).copied();
    report::print(&json!({ "median_us": median, "held": held, "events": micros.len() }).to_string())
}

/// Whether the event came although the server has not been told to go on.
fn wait_for_event(session: &mut Session) -> Result<bool> {
    session.set_patience(HELD)?;
    match session.read_until(b"notifications/progress") {
        Ok(came) => Ok(came),
        Err(error) => match error.downcast_ref::<std::io::Error>().map(|e| e.kind()) {
            Some(ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            _ => Err(error),
        },
    }
}

/// The socket over which scripted servers wait for the bench.
pub struct Control(UnixListener);

impl Control {
    pub fn listen(path: &PathBuf) -> Result<Self> {
        if path.exists() {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// The next server that holds a stream.
    pub fn accept(&self) -> Result<UnixStream> {
        let deadline = Instant::now() + REACHED;
        loop {
            match self.0.accept() {
                Ok((server, _)) => return Ok(server),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if Instant::now() > deadline {
                bail!("the call did not reach the server");
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}
