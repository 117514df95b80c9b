//! Takes the merged values and the standard `OTEL_*` variables. Gives the settings of the export.
//! Order for each signal: flag, its own variable, the common variable, file, default.
//! Never stops a server because of a variable that was set for all programs: that is a warning.

use std::time::Duration;

use crate::export::{ExportSettings, Protocol, QueueLimits, Secret, SignalSettings};

use super::ConfigError;
use super::layer::{Env, Origin};
use super::values::Values;

const GRPC_ENDPOINT: &str = "http://127.0.0.1:4317";
const HTTP_ENDPOINT: &str = "http://127.0.0.1:4318";

/// One of the two signals we send, with the names it has in variables and paths.
struct Signal {
    endpoint: &'static str,
    protocol: &'static str,
    timeout: &'static str,
    exporter: &'static str,
    path: &'static str,
}

const TRACES: Signal = Signal {
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    timeout: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    exporter: "OTEL_TRACES_EXPORTER",
    path: "/v1/traces",
};

const METRICS: Signal = Signal {
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    timeout: "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    exporter: "OTEL_METRICS_EXPORTER",
    path: "/v1/metrics",
};

/// Reads what the OpenTelemetry variables say, and gathers what is wrong with them.
pub(super) struct Standard<'a> {
    pub values: Values<'a>,
    pub env: Env<'a>,
    pub warnings: Vec<String>,
}

impl Standard<'_> {
    pub(super) fn export(&mut self) -> Result<ExportSettings, ConfigError> {
        let traces = self.signal(&TRACES)?;
        let metrics = self.signal(&METRICS)?;
        let interval = match self.milliseconds("OTEL_METRIC_EXPORT_INTERVAL") {
            Some(interval) => interval,
            None => self.values.seconds("metrics_interval_seconds")?,
        };
        Ok(ExportSettings {
            enabled: traces.enabled && !self.sdk_disabled(),
            traces,
            metrics,
            headers: self.headers()?,
            service_name: self.service_name(),
            process_tenant: None,
            queue: QueueLimits {
                max_records: self.values.number("queue_records", 1)?,
                max_bytes: self.values.number("queue_bytes", 4096)?,
            },
            metrics_interval: interval,
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|text| !text.is_empty())
    }

    fn sdk_disabled(&self) -> bool {
        self.variable("OTEL_SDK_DISABLED")
            .is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    fn signal(&mut self, signal: &Signal) -> Result<SignalSettings, ConfigError> {
        let protocol = self.protocol(signal)?;
        let endpoint = self.endpoint(signal, protocol)?;
        let wanted = self
            .variable(signal.exporter)
            .is_none_or(|text| text != "none");
        let timeout = match self
            .milliseconds(signal.timeout)
            .or_else(|| self.milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT"))
        {
            Some(timeout) => timeout,
            None => self.values.seconds("export_timeout_seconds")?,
        };
        Ok(SignalSettings {
            enabled: wanted && endpoint.is_some(),
            endpoint: endpoint.unwrap_or_else(|| default_endpoint(signal, protocol)),
            protocol,
            timeout,
        })
    }

    fn protocol(&mut self, signal: &Signal) -> Result<Protocol, ConfigError> {
        let given = self.values.text("otlp_protocol");
        let own = self.variable(signal.protocol);
        let (text, origin) = match (given, own) {
            (Some((text, origin @ Origin::Flag(_))), _) => (text, origin),
            (_, Some(text)) => (text, Origin::Env(signal.protocol)),
            (Some(given), None) => given,
            (None, None) => return Ok(Protocol::Grpc),
        };
        match text.as_str() {
            "grpc" => Ok(Protocol::Grpc),
            "http/protobuf" => Ok(Protocol::HttpProtobuf),
            _ => {
                let problem = format!("must be grpc or http/protobuf, not {text:?}");
                self.refuse(&origin, problem).map(|()| Protocol::Grpc)
            }
        }
    }

    /// None where the environment names an endpoint that cannot be used: exporting is off then.
    fn endpoint(
        &mut self,
        signal: &Signal,
        protocol: Protocol,
    ) -> Result<Option<String>, ConfigError> {
        let given = self.values.text("otlp_endpoint");
        let own = self.variable(signal.endpoint);
        let (url, origin) = match (given, own) {
            (Some((base, origin @ Origin::Flag(_))), _) => (whole(&base, signal, protocol), origin),
            // The variable of one signal is the whole URL, by the specification.
            (_, Some(url)) => (url, Origin::Env(signal.endpoint)),
            (Some((base, origin)), None) => (whole(&base, signal, protocol), origin),
            (None, None) => return Ok(Some(default_endpoint(signal, protocol))),
        };
        match check_url(&url) {
            Ok(()) => Ok(Some(url)),
            Err(problem) => self
                .refuse(&origin, format!("{problem}; nothing is exported"))
                .map(|()| None),
        }
    }

    /// A mistake in the environment is a warning, anywhere else it is an error.
    fn refuse(&mut self, origin: &Origin, problem: String) -> Result<(), ConfigError> {
        if matches!(origin, Origin::Env(_)) {
            self.warnings.push(format!("{origin}: {problem}"));
            Ok(())
        } else {
            Err(ConfigError::invalid(origin, problem))
        }
    }

    fn milliseconds(&mut self, name: &str) -> Option<Duration> {
        let text = self.variable(name)?;
        match text.parse() {
            Ok(0) | Err(_) => {
                self.warnings
                    .push(format!("{name}: must be a number of milliseconds"));
                None
            }
            Ok(number) => Some(Duration::from_millis(number)),
        }
    }

    fn service_name(&self) -> Option<String> {
        let given = self.values.text("service_name");
        match given {
            Some((name, Origin::Flag(_) | Origin::Env(_))) => Some(name),
            given => self
                .variable("OTEL_RESOURCE_ATTRIBUTES")
                .and_then(|pairs| pair(&pairs, "service.name"))
                .or(given.map(|(name, _)| name)),
        }
    }

    fn headers(&self) -> Result<Vec<(String, Secret)>, ConfigError> {
        let Some((text, origin)) = self.values.text("otlp_headers") else {
            return Ok(Vec::new());
        };
        let pairs = text.split(',').map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let name = http::HeaderName::try_from(name.trim()).ok()?;
            http::HeaderValue::try_from(value.trim()).ok()?;
            Some((
                name.as_str().to_owned(),
                Secret::new(value.trim().to_owned()),
            ))
        });
        // The text itself is a secret, so the error does not quote it.
        pairs
            .collect::<Option<_>>()
            .ok_or_else(|| ConfigError::invalid(&origin, "must be name=value,name=value"))
    }
}

fn pair(pairs: &str, key: &str) -> Option<String> {
    let found = pairs.split(',').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    });
    found.filter(|value| !value.is_empty())
}

fn default_endpoint(signal: &Signal, protocol: Protocol) -> String {
    match protocol {
        Protocol::Grpc => GRPC_ENDPOINT.to_owned(),
        Protocol::HttpProtobuf => whole(HTTP_ENDPOINT, signal, protocol),
    }
}

/// The URL of a signal below the base that all signals share.
fn whole(base: &str, signal: &Signal, protocol: Protocol) -> String {
    match protocol {
        Protocol::Grpc => base.to_owned(),
        Protocol::HttpProtobuf => format!("{}{}", base.trim_end_matches('/'), signal.path),
    }
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: http::Uri = url.parse().map_err(|_| "is no URL")?;
    match uri.scheme_str() {
        Some("http") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(()),
        Some("https") => Err("TLS to the collector is not supported; use http://HOST:PORT"),
        _ => Err("must be http://HOST:PORT"),
    }
}
