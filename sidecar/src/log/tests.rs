use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

/// A writer whose text a test reads.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn written(layer: impl FnOnce(Page) -> Output, speak: impl FnOnce()) -> String {
    let page = Page::default();
    let subscriber = tracing_subscriber::registry().with(layer(page.clone()));
    tracing::subscriber::with_default(subscriber, speak);
    page.text()
}

fn writer(page: Page) -> impl for<'w> MakeWriter<'w> + Send + Sync + 'static {
    move || page.clone()
}

#[test]
fn stderr_gets_warnings_behind_a_prefix_and_nothing_of_libraries() {
    let text = written(
        |page| prefixed(writer(page), Level::WARN),
        || {
            tracing::info!("quiet");
            tracing::warn!(waiting = 3, "collector does not take spans");
            tracing::warn!(target: "opentelemetry-otlp", "exporter speaks");
            tracing::error!(target: "h2", "library speaks");
        },
    );
    assert_eq!(
        text,
        "toolspan: WARN collector does not take spans waiting=3\n"
    );
}

#[test]
fn the_summary_has_every_reason_as_a_field() {
    let counters = Counters::default();
    Counters::add(&counters.calls_seen, 3);
    counters.drop_calls(DropReason::QueueFull, 1);
    counters.skip_injection(NotInjected::TooLarge);
    let text = written(
        |page| json(writer(page), Level::INFO),
        || summary(&counters),
    );
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["message"], "summary");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["calls_seen"], 3);
    assert_eq!(line["dropped_queue_full"], 1);
    assert_eq!(line["not_injected_too_large"], 1);
    for reason in NotInjected::ALL {
        assert!(line[format!("not_injected_{}", reason.as_str())].is_u64());
    }
    for reason in DropReason::ALL {
        assert!(line[format!("dropped_{}", reason.as_str())].is_u64());
    }
}

#[test]
fn a_file_is_appended_to_with_a_time_on_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toolspan.log");
    for _ in 0..2 {
        let file = LogFile::open(path.clone()).unwrap();
        let subscriber = tracing_subscriber::registry().with(text(file, Level::INFO));
        tracing::subscriber::with_default(subscriber, || tracing::info!(n = 1, "listening"));
    }
    let lines = std::fs::read_to_string(&path).unwrap();
    assert_eq!(lines.lines().count(), 2);
    assert!(
        lines
            .lines()
            .all(|line| line.contains("INFO listening n=1") && line.starts_with("20"))
    );
}

#[test]
fn a_log_file_that_cannot_be_opened_is_named() {
    let error = LogFile::open("/nowhere/toolspan.log".into()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot open the log file /nowhere/toolspan.log: ")
    );
}
