//! Takes the log settings. Gives one subscriber: warnings on stderr behind a prefix, or everything in a file.
//! What libraries below us say never reaches the output.
//! Never writes to stdout, never starts a thread, and survives a stderr that is closed.

use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

use thiserror::Error;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry};

mod file;
mod stderr;

use crate::config::{LogFormat, LogSettings};
use crate::counters::{Counters, DropReason, Refusal};
use crate::record::NotInjected;
use crate::tenant::UnknownTenant;
use file::LogFile;
use stderr::Stderr;

/// Only our own crate speaks; libraries below it would speak for every message.
const OUR_TARGET: &str = "toolspan";

#[derive(Debug, Error)]
pub enum LogError {
    #[error("cannot open the log file {}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot install the log: {0}")]
    Install(#[from] TryInitError),
}

/// Opens the log of the process. Call it once.
///
/// # Errors
/// When the log file cannot be opened.
pub fn init(settings: &LogSettings) -> Result<(), LogError> {
    let file = match &settings.file {
        Some(path) => {
            let file = LogFile::open(path.clone())?;
            // Only the first log of a process is one that is ever reopened.
            let _first = OPENED.set(file.clone());
            Some(file)
        }
        None => None,
    };
    let default = if file.is_some() {
        Level::INFO
    } else {
        Level::WARN
    };
    let level = settings.level.unwrap_or(default);
    let output: Box<dyn Layer<Registry> + Send + Sync> = match (file, settings.format) {
        (Some(file), LogFormat::Text) => text(file, level),
        (Some(file), LogFormat::Json) => json(file, level),
        (None, LogFormat::Text) => prefixed(Stderr, level),
        (None, LogFormat::Json) => json(Stderr, level),
    };
    tracing_subscriber::registry().with(output).try_init()?;
    Ok(())
}

/// The log file of this process, for who rotates it.
static OPENED: OnceLock<LogFile> = OnceLock::new();

/// Opens the log file anew, under the name it had: the old one was moved away.
///
/// # Errors
/// When it cannot be opened; then the log goes on in the old one.
pub fn reopen() -> Result<(), LogError> {
    OPENED.get().map_or(Ok(()), LogFile::reopen)
}

type Output = Box<dyn Layer<Registry> + Send + Sync>;

fn ours(level: Level) -> Targets {
    Targets::new().with_target(OUR_TARGET, level)
}

fn text(writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static, level: Level) -> Output {
    tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false)
        .with_filter(ours(level))
        .boxed()
}

fn json(writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static, level: Level) -> Output {
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer)
        .log_internal_errors(false)
        .with_filter(ours(level))
        .boxed()
}

fn prefixed(writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static, level: Level) -> Output {
    tracing_subscriber::fmt::layer()
        .event_format(Prefixed)
        .with_writer(writer)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_filter(ours(level))
        .boxed()
}

/// `toolspan: WARN message field=value`: the line stands among those of the wrapped command.
struct Prefixed;

impl<S, N> FormatEvent<S, N> for Prefixed
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: format::Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "toolspan: {} ", event.metadata().level())?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// The one line at the end that says what was seen and what became of it.
pub fn summary(counters: &Counters) {
    let skipped = |reason| counters.not_injected(reason);
    let dropped = |reason| counters.dropped(reason);
    tracing::info!(
        calls_seen = Counters::get(&counters.calls_seen),
        calls_exported = Counters::get(&counters.calls_exported),
        dropped_queue_full = dropped(DropReason::QueueFull),
        dropped_export_failed = dropped(DropReason::ExportFailed),
        dropped_partial_success = dropped(DropReason::PartialSuccess),
        dropped_shutdown = dropped(DropReason::Shutdown),
        dropped_switched_off = dropped(DropReason::SwitchedOff),
        messages = Counters::get(&counters.messages),
        malformed = Counters::get(&counters.malformed),
        evicted = Counters::get(&counters.evicted),
        late_answers = Counters::get(&counters.late_answers),
        undelivered = Counters::get(&counters.undelivered),
        clients_refused = Refusal::ALL
            .into_iter()
            .map(|why| counters.refused(why))
            .sum::<u64>(),
        connections_waited = Counters::get(&counters.connections_waited),
        tenant_unknown = UnknownTenant::ALL
            .into_iter()
            .map(|why| counters.tenant_unknown(why))
            .sum::<u64>(),
        unreadable = Counters::get(&counters.unreadable),
        not_injected_too_large = skipped(NotInjected::TooLarge),
        not_injected_content_encoding = skipped(NotInjected::ContentEncoding),
        not_injected_content_digest = skipped(NotInjected::ContentDigest),
        not_injected_signature_input = skipped(NotInjected::SignatureInput),
        not_injected_params_not_object = skipped(NotInjected::ParamsNotObject),
        not_injected_meta_not_object = skipped(NotInjected::MetaNotObject),
        not_injected_in_response = skipped(NotInjected::InResponse),
        not_injected_switched_off = skipped(NotInjected::SwitchedOff),
        "summary"
    );
}

#[cfg(test)]
mod tests;
