//! Takes a TOML file.
//! Gives its values as the defaults of the command line, so that one parser checks flags and file alike.
//! Never accepts a key that is no option; it names the nearest one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Command};

use super::ServeArgs;

/// Options from a file, by the names of their flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileOptions(BTreeMap<String, String>);

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {what}", path.display())]
    Toml { path: PathBuf, what: String },
    #[error("{}: unknown key {key:?}{}", path.display(), nearest.as_ref().map_or_else(String::new, |near| format!(", did you mean {near:?}?")))]
    Unknown {
        path: PathBuf,
        key: String,
        nearest: Option<String>,
    },
    #[error("{}: {key} is a {found}, want text, a number, true or false", path.display())]
    Kind {
        path: PathBuf,
        key: String,
        found: &'static str,
    },
}

impl FileOptions {
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// The options in `text`, which stands in `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let table: toml::Table =
            text.parse()
                .map_err(|error: toml::de::Error| FileError::Toml {
                    path: path.to_owned(),
                    what: error.to_string(),
                })?;
        let known = keys();
        let mut options = BTreeMap::new();
        for (key, value) in table {
            if !known.contains(&key) {
                let nearest = nearest(&key, &known);
                return Err(FileError::Unknown {
                    path: path.to_owned(),
                    key,
                    nearest,
                });
            }
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(yes) => yes.to_string(),
                other => {
                    return Err(FileError::Kind {
                        path: path.to_owned(),
                        key,
                        found: other.type_str(),
                    });
                }
            };
            options.insert(key.replace('_', "-"), text);
        }
        Ok(Self(options))
    }

    /// The command with these values as defaults: flags and variables still win.
    pub fn as_defaults(&self, command: Command) -> Command {
        command.mut_args(
            |argument| match argument.get_long().and_then(|long| self.0.get(long)) {
                Some(value) => argument.default_value(value.clone()),
                None => argument,
            },
        )
    }
}

/// Every key a file may hold.
fn keys() -> Vec<String> {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let longs = command
        .get_arguments()
        .filter_map(|argument| argument.get_long());
    longs
        .filter(|long| *long != "config")
        .map(|long| long.replace('-', "_"))
        .collect()
}

fn nearest(key: &str, known: &[String]) -> Option<String> {
    let scored = known
        .iter()
        .map(|name| (strsim::jaro_winkler(key, name), name));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0));
    best.filter(|(score, _)| *score > 0.7)
        .map(|(_, name)| name.clone())
}
