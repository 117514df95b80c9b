//! Takes the URL a user gave: `http://user:password@host:8123/?database=toolspan`.
//! Gives its parts.
//! Never shows the password: not in logs, not in errors, not in `Debug`.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::schema::clickhouse::DATABASE;

/// Text that must not be seen.
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

/// A ClickHouse server and the database to use there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Scheme, host and port, without credentials: fit to be shown.
    pub url: String,
    pub user: Option<String>,
    pub password: Secret,
    pub database: String,
}

/// Why a URL is no target. The URL itself is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    #[error(
        "a ClickHouse URL looks like http://user:password@host:8123/?database=toolspan, with / ? @ in a password written %2F %3F %40"
    )]
    NotUrl,
    #[error(
        "ClickHouse is reached by http:// here, not {0}://; put a TLS proxy in front if it is remote"
    )]
    Scheme(String),
    #[error("unknown parameter {0:?} in the ClickHouse URL: only database is known")]
    Parameter(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::NotUrl)?;
        // An @ behind the host means that a password holds a / or ?: no part of this URL may be shown.
        let behind = rest.find(['/', '?']).and_then(|end| rest.get(end..));
        if behind.is_some_and(|behind| behind.contains('@')) {
            return Err(TargetError::NotUrl);
        }
        if scheme != "http" {
            let is_word = scheme.chars().all(|char| char.is_ascii_alphanumeric());
            let word = is_word.then(|| TargetError::Scheme(scheme.chars().take(16).collect()));
            return Err(word.unwrap_or(TargetError::NotUrl));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        if host.is_empty() || host.parse::<http::uri::Authority>().is_err() {
            return Err(TargetError::NotUrl);
        }
        let (user, password) = match credentials {
            Some(credentials) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                (Some(decoded(user)?), decoded(password)?)
            }
            None => (None, String::new()),
        };
        Ok(Self {
            url: format!("http://{host}/{path}"),
            user: user.filter(|user| !user.is_empty()),
            password: Secret::new(password),
            database: database(query)?,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}?database={}", self.url, self.database)
    }
}

fn database(query: &str) -> Result<String, TargetError> {
    let mut database = DATABASE.to_owned();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("database", name) if !name.is_empty() => database = decoded(name)?,
            (key, _) => return Err(TargetError::Parameter(key.chars().take(40).collect())),
        }
    }
    Ok(database)
}

fn decoded(text: &str) -> Result<String, TargetError> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(std::borrow::Cow::into_owned)
        .map_err(|_| TargetError::NotUrl)
}
