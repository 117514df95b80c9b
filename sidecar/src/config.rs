//! Takes flags, environment and the configuration file. Gives the settings of the process, or one clear error.
//! Order: flag, environment, file, default. Flags and environment describe one hop, lists of hops live in the file.
//! Never starts anything and never reads a clock.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::record::HopResource;
use crate::tap::http::Bounds;
use crate::tenant::TenantRule;

mod ends;
mod kubernetes;
mod layer;
mod options;
mod otlp;
mod print;
mod service;
mod settings;
mod tenants;
mod values;

pub use layer::{Env, Layer, Origin, Value};
pub use print::print;
pub use settings::{
    BridgeSettings, HopCommon, HopSettings, Limits, LogFormat, LogSettings, Mode, Server, Settings,
    Upstream, UpstreamTls,
};

use layer::File;
use options::Scope;
use otlp::Standard;
use values::Values;

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read {}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: line {line}: {message}", path.display())]
    Syntax {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("{}: unknown key `{key}`; the nearest known one is `{nearest}`", path.display())]
    UnknownKey {
        path: PathBuf,
        key: String,
        nearest: &'static str,
    },
    #[error("{origin}: {problem}")]
    Invalid { origin: String, problem: String },
    #[error("{0}")]
    Hops(String),
}

impl ConfigError {
    fn invalid(origin: &Origin, problem: impl Into<String>) -> Self {
        Self::Invalid {
            origin: origin.to_string(),
            problem: problem.into(),
        }
    }
}

/// Where settings come from.
pub struct Sources<'a> {
    pub flags: Layer,
    pub file: Option<PathBuf>,
    pub env: Env<'a>,
}

/// The layers after reading, before their values are judged.
struct Layers {
    /// Flags over environment over the top of the file.
    top: Layer,
    /// Each hop over the top of the file.
    hops: Vec<Layer>,
}

impl Sources<'_> {
    fn layers(&self) -> Result<Layers, ConfigError> {
        let file = match &self.file {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        let given = self.flags.over(&Layer::from_env(self.env)?);
        let of_hop = given.only(|option| option.in_hop() && option.key != "service_name");
        let listens = of_hop.only(|option| option.scope == Scope::Listener);
        let hops = match file.hops.as_slice() {
            [] if listens.is_empty() => Vec::new(),
            [] => vec![of_hop.over(&Layer::default())],
            [one] => vec![of_hop.over(one)],
            many => {
                if let Some(given) = of_hop.first() {
                    return Err(ConfigError::Hops(format!(
                        "{} describes one hop, but the file has {}: set it there",
                        given.origin,
                        many.len()
                    )));
                }
                many.to_vec()
            }
        };
        let defaults = file
            .top
            .only(|option| option.scope == Scope::Hop && option.key != "service_name");
        Ok(Layers {
            top: given.over(&file.top),
            hops: hops.iter().map(|hop| hop.over(&defaults)).collect(),
        })
    }
}

impl Settings {
    /// Reads and judges everything.
    ///
    /// # Errors
    /// The first thing that is wrong, with the flag, variable or key that holds it.
    pub fn load(sources: &Sources<'_>, mode: Mode) -> Result<Self, ConfigError> {
        let layers = sources.layers()?;
        let top = Values(&layers.top);
        let mut standard = Standard {
            values: top,
            env: sources.env,
            warnings: Vec::new(),
        };
        let mut telemetry = standard.export()?;
        let mut warnings = standard.warnings;
        let hops = match mode {
            Mode::Stdio => Vec::new(),
            Mode::Http | Mode::Check => hops(&layers, &mut warnings)?,
        };
        if mode == Mode::Http && hops.is_empty() {
            return Err(ConfigError::Hops(
                "nothing to listen on: give --listen and --upstream or -- COMMAND, or [[hop]] in --config FILE"
                    .to_owned(),
            ));
        }
        warnings.extend(hops.iter().flat_map(tenants::warnings));
        let tenant = match (mode, hops.as_slice()) {
            (Mode::Stdio, _) => top.tenant_rule(top, &mut warnings)?,
            (_, []) => top.tenant_rule(top, &mut Vec::new())?,
            // What it needs may stand in the hops, and there it was judged.
            _ => TenantRule::default(),
        };
        let stdio = common(top, tenant, None)?;
        telemetry.process_tenant = one_tenant(&hops, &stdio, mode);
        Ok(Self {
            disabled: is_disabled(sources.env),
            telemetry,
            log: log(top)?,
            limits: Limits {
                max_open_calls: top.number("max_open_calls", 1)?,
                long_call_after: top.seconds("long_call_after_seconds")?,
                session_idle: match top.number("session_idle_seconds", 0)? {
                    0 => None,
                    seconds => Some(Duration::from_secs(seconds as u64)),
                },
                connect_timeout: top.seconds("connect_timeout_seconds")?,
                max_connections: top.number("max_connections", 1)?,
                bounds: Bounds {
                    max_header_bytes: top.number("max_header_bytes", 1024)?,
                    header_timeout: top.seconds("header_timeout_seconds")?,
                    body_idle: top.seconds("body_idle_seconds")?,
                    write_idle: top.seconds("write_idle_seconds")?,
                },
            },
            admin: match mode {
                // Nothing of it is listened to, so nothing in it can be wrong.
                Mode::Stdio => None,
                Mode::Http | Mode::Check => top.address("admin", top.switch("allow_public"))?,
            },
            drain: Duration::from_secs(top.number("drain_seconds", 0)? as u64),
            hops,
            stdio,
            warnings,
        })
    }
}

/// The kill switch.
#[must_use]
pub fn is_disabled(env: Env<'_>) -> bool {
    env("TOOLSPAN_DISABLED").is_some_and(|text| matches!(text.as_str(), "1" | "true"))
}

fn common(
    values: Values<'_>,
    tenant: TenantRule,
    service_name: Option<Arc<str>>,
) -> Result<HopCommon, ConfigError> {
    Ok(HopCommon {
        tenant,
        side: values.side()?,
        span_pair: values.switch("span_pair"),
        inject: values.switch("inject"),
        max_inject_bytes: values.number("max_inject_bytes", 0)?,
        resource: HopResource {
            service_name,
            attributes: values.attributes("resource_attributes")?,
        },
    })
}

fn log(values: Values<'_>) -> Result<LogSettings, ConfigError> {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("error", tracing::Level::ERROR),
        ("warn", tracing::Level::WARN),
        ("info", tracing::Level::INFO),
        ("debug", tracing::Level::DEBUG),
        ("trace", tracing::Level::TRACE),
    ];
    Ok(LogSettings {
        file: values.path("log_file"),
        format: values.one_of("log_format", &formats)?.unwrap_or_default(),
        level: values.one_of("log_level", &levels)?,
    })
}

fn hops(layers: &Layers, warnings: &mut Vec<String>) -> Result<Vec<HopSettings>, ConfigError> {
    let top = Values(&layers.top);
    let mut hops: Vec<HopSettings> = Vec::with_capacity(layers.hops.len());
    for (index, layer) in layers.hops.iter().enumerate() {
        let hop = hop(Values(layer), top, index, warnings)?;
        if let Some(other) = hops.iter().find(|other| collide(other, &hop)) {
            return Err(ConfigError::Hops(format!(
                "the hops {:?} and {:?} have the same name or the same listen address",
                other.name, hop.name
            )));
        }
        hops.push(hop);
    }
    Ok(hops)
}

fn collide(one: &HopSettings, other: &HopSettings) -> bool {
    one.name == other.name || (one.listen == other.listen && !one.listen.is_any_port())
}

fn hop(
    values: Values<'_>,
    top: Values<'_>,
    index: usize,
    warnings: &mut Vec<String>,
) -> Result<HopSettings, ConfigError> {
    let name = values.text("name").map(|(name, _)| name);
    let missing = |what: &str| {
        let which = name
            .clone()
            .unwrap_or_else(|| format!("number {}", index + 1));
        ConfigError::Hops(format!("hop {which}: {what} is missing"))
    };
    let listen = values
        .address("listen", top.switch("allow_public"))?
        .ok_or_else(|| missing("listen (--listen)"))?;
    let server =
        server(values)?.ok_or_else(|| missing("upstream (--upstream) or command (-- COMMAND)"))?;
    let tenant = values.tenant_rule(top, warnings)?;
    let service = values.text("service_name").map(|(name, _)| name.into());
    Ok(HopSettings {
        name: name.unwrap_or_else(|| match listen.is_any_port() {
            true => format!("hop-{}", index + 1),
            false => listen.to_string(),
        }),
        listen,
        tls: values.server_files()?,
        server,
        common: common(values, tenant, service)?,
        port_file: values.path("port_file"),
    })
}

/// One of the two things that can be behind a hop.
fn server(values: Values<'_>) -> Result<Option<Server>, ConfigError> {
    match (values.upstream()?, values.list("command")) {
        (Some(_), Some((_, origin))) => Err(ConfigError::invalid(
            &origin,
            "cannot stand beside upstream: a hop has one server",
        )),
        (Some(upstream), None) => Ok(Some(Server::Upstream(upstream))),
        (None, Some((command, origin))) => {
            if command.first().is_none_or(String::is_empty) {
                return Err(ConfigError::invalid(&origin, "must name a program"));
            }
            let command = command.into_iter().map(OsString::from).collect();
            bridge(values, command).map(|bridge| Some(Server::Command(bridge)))
        }
        (None, None) => Ok(None),
    }
}

fn bridge(values: Values<'_>, command: Vec<OsString>) -> Result<BridgeSettings, ConfigError> {
    let lower = |key| {
        let texts = values.list(key).map(|(texts, _)| texts).unwrap_or_default();
        let texts = texts.into_iter().map(|text| text.to_ascii_lowercase());
        texts.collect()
    };
    let max_message_bytes = values.number("max_message_bytes", 1)?;
    let max_held_bytes: usize = values.number("max_held_bytes", 0)?;
    Ok(BridgeSettings {
        command,
        mcp_path: values.local_path("mcp_path")?,
        allowed_hosts: lower("allowed_hosts"),
        allowed_origins: lower("allowed_origins"),
        max_sessions: values.number("max_sessions", 1)?,
        max_message_bytes,
        max_held_bytes: max_held_bytes.max(max_message_bytes),
        max_replay_bytes: values.number("max_replay_bytes", 0)?,
    })
}

/// The tenant that all hops share by a fixed name, if there is one.
fn one_tenant(hops: &[HopSettings], stdio: &HopCommon, mode: Mode) -> Option<Arc<str>> {
    let mut rules: Vec<&TenantRule> = hops.iter().map(|hop| &hop.common.tenant).collect();
    if mode == Mode::Stdio {
        rules.push(&stdio.tenant);
    }
    let mut names = rules.into_iter().map(TenantRule::one);
    let first = names.next()??;
    names
        .all(|name| name == Some(first))
        .then(|| Arc::clone(first))
}

#[cfg(test)]
mod tests;
