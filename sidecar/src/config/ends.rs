//! Takes the values of a hop. Gives its two ends: where it listens and how, which server it speaks to and how.
//! Never opens a file and never resolves a name: that is done when the hop starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::values::Values;
use super::{ConfigError, Upstream};
use crate::tap::http::{Forwarded, Manners};
use crate::wire::tls::{ClientFiles, ServerFiles};
use crate::wire::{Address, Endpoint, HttpChoice, unix_path};

/// What an upstream may be.
const FORM: &str = "must be http://HOST:PORT, https://HOST:PORT or unix:/path";

impl Values<'_> {
    /// An address to listen on.
    pub(crate) fn address(
        &self,
        key: &'static str,
        allow_public: bool,
    ) -> Result<Option<Address>, ConfigError> {
        let Some((text, origin)) = self.text(key) else {
            return Ok(None);
        };
        if let Some(path) = unix_path(&text) {
            return if path.is_absolute() {
                Ok(Some(Address::Unix(path)))
            } else {
                Err(ConfigError::invalid(
                    &origin,
                    "must be unix:/path, from the root",
                ))
            };
        }
        let no_address = || ConfigError::invalid(&origin, "must be IP:PORT or unix:/path");
        let address: SocketAddr = match text.strip_prefix("localhost:") {
            Some(port) => port
                .parse()
                .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
                .map_err(|_| no_address())?,
            None => text.parse().map_err(|_| no_address())?,
        };
        if !address.ip().is_loopback() && !allow_public {
            let problem = format!(
                "{address} can be reached from other machines; add --allow-public (allow_public = true) if that is meant"
            );
            return Err(ConfigError::invalid(&origin, problem));
        }
        Ok(Some(Address::Tcp(address)))
    }

    /// TLS towards clients.
    pub(crate) fn server_files(&self) -> Result<Option<ServerFiles>, ConfigError> {
        let client_ca = self.path("tls_client_ca");
        match self.pair("tls_cert", "tls_key")? {
            Some((cert, key)) => Ok(Some(ServerFiles {
                cert,
                key,
                client_ca,
            })),
            None => match self.text("tls_client_ca") {
                Some((_, origin)) => Err(ConfigError::invalid(
                    &origin,
                    "needs tls_cert and tls_key beside it",
                )),
                None => Ok(None),
            },
        }
    }

    /// Two paths that only mean something together.
    fn pair(
        &self,
        first: &'static str,
        second: &'static str,
    ) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
        match (self.text(first), self.text(second)) {
            (Some((one, _)), Some((other, _))) => Ok(Some((one.into(), other.into()))),
            (None, None) => Ok(None),
            (Some((_, origin)), None) => Err(ConfigError::invalid(
                &origin,
                format!("needs {second} beside it"),
            )),
            (None, Some((_, origin))) => Err(ConfigError::invalid(
                &origin,
                format!("needs {first} beside it"),
            )),
        }
    }

    fn manners(&self) -> Result<Manners, ConfigError> {
        let words = [
            ("pass", Forwarded::Pass),
            ("append", Forwarded::Append),
            ("replace", Forwarded::Replace),
        ];
        Ok(Manners {
            rewrite_host: self.switch("rewrite_host"),
            forwarded: self.one_of("forwarded", &words)?.unwrap_or_default(),
            trusted_proxies: self.networks("trusted_proxies")?.unwrap_or_default(),
            allowed_origins: self
                .list("allowed_origins")
                .map(|(texts, _)| texts)
                .unwrap_or_default(),
        })
    }

    pub(crate) fn upstream(&self) -> Result<Option<Upstream>, ConfigError> {
        let Some((text, origin)) = self.text("upstream") else {
            return Ok(None);
        };
        let words = [
            ("auto", HttpChoice::Auto),
            ("1.1", HttpChoice::One),
            ("2", HttpChoice::Two),
        ];
        let http = self.one_of("upstream_http", &words)?.unwrap_or_default();
        let mut upstream =
            upstream(&text).map_err(|problem| ConfigError::invalid(&origin, problem))?;
        upstream.http = http;
        upstream.manners = self.manners()?;
        let files = ClientFiles {
            ca: self.path("upstream_ca"),
            identity: self.pair("upstream_cert", "upstream_key")?,
        };
        let name = self.text("upstream_server_name");
        if let Some(tls) = &mut upstream.tls {
            tls.files = files;
            if let Some((name, _)) = name {
                tls.name = name;
            }
            return Ok(Some(upstream));
        }
        for key in ["upstream_ca", "upstream_cert", "upstream_server_name"] {
            if let Some((_, origin)) = self.text(key) {
                return Err(ConfigError::invalid(
                    &origin,
                    "needs an upstream of https://",
                ));
            }
        }
        Ok(Some(upstream))
    }
}

fn upstream(text: &str) -> Result<Upstream, &'static str> {
    if let Some(path) = unix_path(text) {
        return unix(path);
    }
    let uri: http::Uri = text.parse().map_err(|_| FORM)?;
    let (tls, port) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return Err(FORM),
    };
    let authority = uri.authority().ok_or(FORM)?;
    if authority.as_str().contains('@') {
        return Err("must not hold a user or password");
    }
    if uri.query().is_some() {
        return Err("must have no query: the client's path and query are put behind its path");
    }
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    if host.is_empty() {
        return Err(FORM);
    }
    Ok(Upstream {
        endpoint: Endpoint::Tcp {
            host: host.into(),
            port: authority.port_u16().unwrap_or(port),
        },
        prefix: uri.path().trim_end_matches('/').into(),
        authority: authority.as_str().into(),
        tls: tls.then(|| super::UpstreamTls {
            files: ClientFiles::default(),
            name: host.into(),
        }),
        http: HttpChoice::default(),
        manners: Manners::default(),
    })
}

fn unix(path: PathBuf) -> Result<Upstream, &'static str> {
    if !path.is_absolute() {
        return Err("must be unix:/path, from the root");
    }
    Ok(Upstream {
        endpoint: Endpoint::Unix(path),
        prefix: String::new(),
        authority: "localhost".into(),
        tls: None,
        http: HttpChoice::default(),
        manners: Manners::default(),
    })
}
