//! Takes nothing. Gives the settings of the export, as the configuration resolved them.
//! Headers are secrets: they never appear in `Debug`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use super::queue::QueueLimits;

/// How OTLP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    HttpProtobuf,
}

impl Protocol {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

/// Where one signal goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalSettings {
    pub enabled: bool,
    /// The whole URL: with HTTP it includes the path of the signal.
    pub endpoint: String,
    pub protocol: Protocol,
    /// For one export, all its retries included.
    pub timeout: Duration,
}

/// A text that must not be seen: its `Debug` is `***`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// Everything the telemetry thread needs to know.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    /// Off means: records are let go where they arise, and no thread is started.
    pub enabled: bool,
    pub traces: SignalSettings,
    pub metrics: SignalSettings,
    /// Headers of the configuration file, each with a name; those of the environment win.
    pub headers: Vec<(String, Secret)>,
    /// `service.name` where a flag, the environment or the file gives one.
    pub service_name: Option<String>,
    /// The tenant of the counts of the whole process, where all hops have one and the same.
    pub process_tenant: Option<Arc<str>>,
    pub queue: QueueLimits,
    pub metrics_interval: Duration,
}

impl ExportSettings {
    /// Names the service after what stands behind the hop, unless the user named it.
    pub fn default_service_name(&mut self, name: &str) {
        if self.service_name.is_none() && !name.is_empty() {
            self.service_name = Some(name.to_owned());
        }
    }
}
