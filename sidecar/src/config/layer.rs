//! Takes flags, environment and file. Gives layers of values that remember where they came from.
//! A layer is laid over another; a value above wins, and the two ways to name a tenant are one setting.
//! Never judges what a value means: only its kind, and whether its key is known.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::options::{Kind, OPTIONS, Opt, option};

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Integer(u64),
    Switch(bool),
    List(Vec<String>),
}

/// Where a value was given: named in errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
    Env(&'static str),
    File { path: PathBuf, key: &'static str },
    Default(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Env(name) | Self::Default(name) => out.write_str(name),
            Self::File { path, key } => write!(out, "{}: `{key}`", path.display()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub value: Value,
    pub origin: Origin,
}

/// Values by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer(BTreeMap<&'static str, Given>);

/// The two keys of one setting.
const TENANT_KEYS: [&str; 2] = ["tenant", "tenant_from"];

impl Layer {
    /// Puts the value of a flag, if it was given. The key must be one of the list.
    pub fn flag(&mut self, key: &str, value: Option<Value>) {
        if let (Some(option), Some(value)) = (option(key), value) {
            let origin = Origin::Flag(option.flag.unwrap_or(option.key));
            self.0.insert(option.key, Given { value, origin });
        }
    }

    /// Everything the environment says. An empty variable is as good as none.
    ///
    /// # Errors
    /// When a variable of this program holds a value of the wrong kind.
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        for option in OPTIONS {
            let Some(name) = option.env else { continue };
            let Some(text) = env(name).filter(|text| !text.is_empty()) else {
                continue;
            };
            let origin = Origin::Env(name);
            let value = value_of_text(option, text, &origin)?;
            layer.0.insert(option.key, Given { value, origin });
        }
        layer.check_tenant()?;
        Ok(layer)
    }

    fn from_table(
        table: toml::Table,
        path: &Path,
        allowed: impl Fn(&Opt) -> bool,
    ) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        for (key, value) in table {
            let Some(option) = option(&key).filter(|option| allowed(option)) else {
                return Err(unknown(path, &key, &allowed));
            };
            let origin = Origin::File {
                path: path.to_owned(),
                key: option.key,
            };
            let value = value_of_toml(option, value, &origin)?;
            layer.0.insert(option.key, Given { value, origin });
        }
        layer.check_tenant()?;
        Ok(layer)
    }

    fn check_tenant(&self) -> Result<(), ConfigError> {
        match TENANT_KEYS.map(|key| self.0.get(key)) {
            [Some(one), Some(other)] => Err(ConfigError::invalid(
                &one.origin,
                format!(
                    "cannot stand beside {}: they say the same thing",
                    other.origin
                ),
            )),
            _ => Ok(()),
        }
    }

    /// This layer over `lower`.
    #[must_use]
    pub fn over(&self, lower: &Self) -> Self {
        let mut merged = lower.0.clone();
        if TENANT_KEYS.iter().any(|key| self.0.contains_key(key)) {
            for key in TENANT_KEYS {
                merged.remove(key);
            }
        }
        merged.extend(self.0.iter().map(|(key, given)| (*key, given.clone())));
        Self(merged)
    }

    /// Only the values whose option passes.
    #[must_use]
    pub(crate) fn only(&self, keep: impl Fn(&Opt) -> bool) -> Self {
        let kept = self
            .0
            .iter()
            .filter(|(key, _)| option(key).is_some_and(&keep));
        Self(kept.map(|(key, given)| (*key, given.clone())).collect())
    }

    pub fn given(&self, key: &str) -> Option<&Given> {
        self.0.get(key)
    }

    pub fn first(&self) -> Option<&Given> {
        self.0.values().next()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a configuration file says: the top, and each hop.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub top: Layer,
    pub hops: Vec<Layer>,
}

impl File {
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            // The whole message quotes the line, which may hold a header's secret.
            ConfigError::Syntax {
                path: path.to_owned(),
                line: error.span().map_or(0, |span| line_of(text, span.start)),
                message: error.message().to_owned(),
            }
        })?;
        let hops = match table.remove("hop") {
            None => Vec::new(),
            Some(toml::Value::Array(hops)) => hops,
            Some(_) => return Err(not_a_list(path)),
        };
        let hops = hops.into_iter().map(|hop| match hop {
            toml::Value::Table(table) => Layer::from_table(table, path, Opt::in_hop),
            _ => Err(not_a_list(path)),
        });
        Ok(Self {
            hops: hops.collect::<Result<_, _>>()?,
            top: Layer::from_table(table, path, Opt::at_top)?,
        })
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset);
    1 + before.filter(|byte| *byte == b'\n').count()
}

fn not_a_list(path: &Path) -> ConfigError {
    ConfigError::Invalid {
        origin: format!("{}: `hop`", path.display()),
        problem: "hops are written as [[hop]]".to_owned(),
    }
}

fn unknown(path: &Path, key: &str, allowed: &dyn Fn(&Opt) -> bool) -> ConfigError {
    let known = OPTIONS.iter().filter(|option| allowed(option));
    let names = known.map(|option| option.key).chain(["hop"]);
    let nearest = names.min_by_key(|name| strsim::damerau_levenshtein(name, key));
    ConfigError::UnknownKey {
        path: path.to_owned(),
        key: key.to_owned(),
        nearest: nearest.unwrap_or("hop"),
    }
}

fn value_of_text(option: &Opt, text: String, origin: &Origin) -> Result<Value, ConfigError> {
    match option.kind {
        Kind::Text | Kind::Secret => Ok(Value::Text(text)),
        Kind::Integer => match text.parse() {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => Err(ConfigError::invalid(origin, "must be a whole number")),
        },
        Kind::Switch => match text.as_str() {
            "1" | "true" => Ok(Value::Switch(true)),
            "0" | "false" => Ok(Value::Switch(false)),
            _ => Err(ConfigError::invalid(origin, "must be true or false")),
        },
        Kind::List | Kind::Texts => {
            let parts = text.split(',').map(str::trim);
            let parts = parts.filter(|part| !part.is_empty());
            Ok(Value::List(parts.map(str::to_owned).collect()))
        }
    }
}

fn value_of_toml(option: &Opt, value: toml::Value, origin: &Origin) -> Result<Value, ConfigError> {
    match (option.kind, value) {
        (Kind::Text | Kind::Secret, toml::Value::String(text)) => Ok(Value::Text(text)),
        (Kind::Text | Kind::Secret, _) => Err(ConfigError::invalid(origin, "must be a string")),
        (Kind::Integer, toml::Value::Integer(number)) => match u64::try_from(number) {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => Err(ConfigError::invalid(origin, "must not be negative")),
        },
        (Kind::Integer, _) => Err(ConfigError::invalid(origin, "must be a whole number")),
        (Kind::Switch, toml::Value::Boolean(on)) => Ok(Value::Switch(on)),
        (Kind::Switch, _) => Err(ConfigError::invalid(origin, "must be true or false")),
        (Kind::Texts, toml::Value::String(text)) => Ok(Value::List(vec![text])),
        (Kind::List | Kind::Texts, value) => match list_of_toml(value) {
            Some(texts) => Ok(Value::List(texts)),
            None => Err(ConfigError::invalid(origin, "must be a list of strings")),
        },
    }
}

fn list_of_toml(value: toml::Value) -> Option<Vec<String>> {
    let toml::Value::Array(values) = value else {
        return None;
    };
    let texts = values.into_iter().map(|value| match value {
        toml::Value::String(text) => Some(text),
        _ => None,
    });
    texts.collect()
}
