//! Takes options from flags, the environment and a TOML file, in this order of precedence.
//! Gives a checked configuration.
//! Never shows a password, and never ignores a key it does not know.
//!
//! There is one list of options, the fields of [`ServeArgs`]: flags, variables, file keys, `config print` and the help
//! all come from it.

pub mod file;
pub mod print;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::receive::Limits;
use crate::sink::clickhouse::{Target, TargetError};
use crate::wal::Options;

/// Where a collector listens and what it stores.
///
/// It has no `Debug`: a URL may hold a password.
#[derive(Clone, Args)]
pub struct ServeArgs {
    /// The folder of the store: log, cursors, Parquet files, dead letters. It is made if it does not exist.
    #[arg(long, env = "TOOLSPAN_COLLECTOR_STORE", value_name = "DIR")]
    pub store: Option<PathBuf>,

    /// Where OTLP over gRPC is taken. Port 0 takes a free one.
    #[arg(
        long,
        env = "TOOLSPAN_COLLECTOR_OTLP_GRPC",
        value_name = "ADDR",
        default_value = "127.0.0.1:4317"
    )]
    pub otlp_grpc: String,

    /// Where OTLP over HTTP is taken, and where /metrics is served. Port 0 takes a free one.
    #[arg(
        long,
        env = "TOOLSPAN_COLLECTOR_OTLP_HTTP",
        value_name = "ADDR",
        default_value = "127.0.0.1:4318"
    )]
    pub otlp_http: String,

    /// Listen on addresses that other machines reach, without credentials or encryption.
    #[arg(long, env = "TOOLSPAN_COLLECTOR_ALLOW_PUBLIC")]
    pub allow_public: bool,

    /// Store in ClickHouse too: http://USER:PASSWORD@HOST:8123/?database=toolspan.
    #[arg(
        long,
        env = "TOOLSPAN_COLLECTOR_CLICKHOUSE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub clickhouse_url: Option<String>,

    /// Store in ClickHouse only.
    #[arg(long, env = "TOOLSPAN_COLLECTOR_NO_PARQUET")]
    pub no_parquet: bool,

    /// How much the log may hold while a store is down. Raise it to survive longer outages; full, exports are refused.
    #[arg(long, env = "TOOLSPAN_COLLECTOR_LOG_QUOTA", value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    pub log_quota: u64,

    /// The largest export taken, once decompressed. Raise it for clients that cannot send smaller batches.
    #[arg(long, env = "TOOLSPAN_COLLECTOR_MAX_EXPORT", value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    pub max_export: u64,

    /// Write the bound addresses to this file once requests are served, for whoever started this with port 0.
    #[arg(long, env = "TOOLSPAN_COLLECTOR_PORT_FILE", value_name = "FILE")]
    pub port_file: Option<PathBuf>,

    /// How the collector's own log is written to stderr.
    #[arg(
        long,
        env = "TOOLSPAN_COLLECTOR_LOG_FORMAT",
        value_enum,
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or a filter such as info,toolspan_collector::wal=debug.
    #[arg(
        long,
        env = "TOOLSPAN_COLLECTOR_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub log_level: String,

    /// A TOML file with the same options: otlp_grpc = "127.0.0.1:4317".
    #[arg(long, env = "TOOLSPAN_COLLECTOR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Text for people, JSON for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// A configuration that makes sense.
#[derive(Clone)]
pub struct Config {
    pub store: PathBuf,
    pub otlp_grpc: String,
    pub otlp_http: String,
    pub allow_public: bool,
    pub clickhouse: Option<Target>,
    pub parquet: bool,
    pub log_quota: u64,
    pub max_export: u64,
    pub port_file: Option<PathBuf>,
}

/// Why a configuration makes none.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "no store: say where with --store DIR, TOOLSPAN_COLLECTOR_STORE or store = \"DIR\" in the file"
    )]
    NoStore,
    #[error(
        "--no-parquet without --clickhouse-url stores nothing: give a URL, or leave out --no-parquet"
    )]
    NoSink,
    #[error("--clickhouse-url: {0}")]
    Target(TargetError),
    #[error(
        "--log-quota of {quota} bytes is too small: it must be above four times --max-export, {max_export} bytes"
    )]
    Quota { quota: u64, max_export: u64 },
    #[error("--log-level {given:?} is no filter ({what}): use error, warn, info, debug or trace")]
    LogLevel { given: String, what: String },
}

impl ServeArgs {
    /// The configuration, if the options fit together.
    pub fn check(&self) -> Result<Config, ConfigError> {
        let store = self.store.clone().ok_or(ConfigError::NoStore)?;
        if self.no_parquet && self.clickhouse_url.is_none() {
            return Err(ConfigError::NoSink);
        }
        let options = Options {
            quota_bytes: self.log_quota,
        };
        if options.max_body_bytes() < self.max_export {
            return Err(ConfigError::Quota {
                quota: self.log_quota,
                max_export: self.max_export,
            });
        }
        Ok(Config {
            store,
            otlp_grpc: self.otlp_grpc.clone(),
            otlp_http: self.otlp_http.clone(),
            allow_public: self.allow_public,
            clickhouse: self
                .clickhouse_url
                .as_ref()
                .map(|url| url.parse().map_err(ConfigError::Target))
                .transpose()?,
            parquet: !self.no_parquet,
            log_quota: self.log_quota,
            max_export: self.max_export,
            port_file: self.port_file.clone(),
        })
    }

    /// The filter of the collector's own log.
    pub fn log_filter(&self) -> Result<tracing_subscriber::EnvFilter, ConfigError> {
        let parsed = self.log_level.parse();
        parsed.map_err(
            |error: tracing_subscriber::filter::ParseError| ConfigError::LogLevel {
                given: self.log_level.clone(),
                what: error.to_string(),
            },
        )
    }
}

impl Config {
    pub fn limits(&self) -> Limits {
        Limits {
            max_export_bytes: self.max_export,
            ..Limits::default()
        }
    }

    pub fn log_options(&self) -> Options {
        Options {
            quota_bytes: self.log_quota,
        }
    }
}

/// A number of bytes: 65536, 64KiB, 64MiB, 1GiB.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let shift = match text
        .get(digits.len()..)
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        other => return Err(format!("unit {other:?}: use KiB, MiB or GiB")),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "want a number such as 512MiB".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "too large".to_owned())
}
