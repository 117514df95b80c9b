//! Takes a merged layer. Gives its values with their defaults, each as the type it stands for.
//! Never reads the environment or a file; an error names where the value was given.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::record::{Attributes, Side, names};

use super::ConfigError;
use super::layer::{Given, Layer, Origin, Value};
use super::options::option;

/// A layer, read with defaults.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a>(pub &'a Layer);

impl Values<'_> {
    fn get(&self, key: &'static str) -> Option<Given> {
        if let Some(given) = self.0.given(key) {
            return Some(given.clone());
        }
        let default: toml::Value =
            toml::from_str::<toml::Table>(&format!("value = {}", option(key)?.default?))
                .ok()?
                .remove("value")?;
        let value = match default {
            toml::Value::String(text) => Value::Text(text),
            toml::Value::Integer(number) => Value::Integer(u64::try_from(number).ok()?),
            toml::Value::Boolean(on) => Value::Switch(on),
            _ => return None,
        };
        let origin = Origin::Default(key);
        Some(Given { value, origin })
    }

    pub(crate) fn text(&self, key: &'static str) -> Option<(String, Origin)> {
        match self.get(key)? {
            Given {
                value: Value::Text(text),
                origin,
            } => Some((text, origin)),
            _ => None,
        }
    }

    /// The texts of a list, and where it was given.
    pub(crate) fn list(&self, key: &'static str) -> Option<(Vec<String>, Origin)> {
        match self.get(key)? {
            Given {
                value: Value::List(texts),
                origin,
            } => Some((texts, origin)),
            _ => None,
        }
    }

    pub(crate) fn switch(&self, key: &'static str) -> bool {
        matches!(
            self.get(key).map(|given| given.value),
            Some(Value::Switch(true))
        )
    }

    /// A number from `least` up.
    pub(crate) fn number(&self, key: &'static str, least: u64) -> Result<usize, ConfigError> {
        let Some(Given {
            value: Value::Integer(number),
            origin,
        }) = self.get(key)
        else {
            return Ok(0);
        };
        if number < least {
            return Err(ConfigError::invalid(
                &origin,
                format!("must be at least {least}"),
            ));
        }
        usize::try_from(number).map_err(|_| ConfigError::invalid(&origin, "is too large"))
    }

    pub(crate) fn seconds(&self, key: &'static str) -> Result<Duration, ConfigError> {
        let seconds = self.number(key, 1)?;
        Ok(Duration::from_secs(seconds as u64))
    }

    pub(crate) fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(|(text, _)| text.into())
    }

    /// The path of a resource that we serve.
    pub(crate) fn local_path(&self, key: &'static str) -> Result<String, ConfigError> {
        let Some((text, origin)) = self.text(key) else {
            return Ok("/".to_owned());
        };
        let path = text.parse::<http::uri::PathAndQuery>();
        match path {
            Ok(path) if text.starts_with('/') && path.query().is_none() => Ok(text),
            _ => Err(ConfigError::invalid(&origin, "must be a path: /mcp")),
        }
    }

    /// One of a few words.
    pub(crate) fn one_of<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ConfigError> {
        let Some((text, origin)) = self.text(key) else {
            return Ok(None);
        };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                let problem = format!("must be {}, not {text:?}", words.join(" or "));
                Err(ConfigError::invalid(&origin, problem))
            }
        }
    }

    pub(crate) fn side(&self) -> Result<Side, ConfigError> {
        let words = [("server", Side::Server), ("client", Side::Client)];
        Ok(self.one_of("side", &words)?.unwrap_or(Side::Server))
    }

    /// Pairs of a name and a percent-encoded value, as `OTEL_RESOURCE_ATTRIBUTES` holds them.
    pub(crate) fn attributes(&self, key: &'static str) -> Result<Attributes, ConfigError> {
        let Some((text, origin)) = self.text(key) else {
            return Ok(Box::default());
        };
        let pairs = text.split(',').map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((name.trim().into(), Box::from(&*value)))
                .filter(|(name, _): &(Box<str>, _)| !name.is_empty())
        });
        let pairs: Attributes = pairs
            .collect::<Option<_>>()
            .ok_or_else(|| ConfigError::invalid(&origin, "must be name=value,name=value"))?;
        let own = [
            names::SERVICE_NAME,
            names::SERVICE_INSTANCE_ID,
            names::TENANT_ID,
        ];
        match pairs.iter().find(|(name, _)| own.contains(&&**name)) {
            Some((name, _)) => Err(ConfigError::invalid(
                &origin,
                format!(
                    "cannot hold {name}: it has a setting of its own, or is given by the process"
                ),
            )),
            None => Ok(pairs),
        }
    }
}
