//! Takes the options as they were given.
//! Gives a file that says the same, with what each option means and where else it can be set.
//! Never shows the password in a URL.

use std::fmt::Write;

use clap::{ArgMatches, Args, Command};

use super::ServeArgs;
use crate::sink::clickhouse::Target;

/// All options as TOML; those that are not set stand in comments.
pub fn print(matches: &ArgMatches) -> String {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let mut text = String::new();
    for argument in command.get_arguments() {
        let Some(long) = argument.get_long().filter(|long| *long != "config") else {
            continue;
        };
        let help = argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let variable = argument
            .get_env()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let _ = writeln!(text, "# {help}\n# --{long}, {variable}");
        let key = long.replace('-', "_");
        let value = matches
            .get_raw(argument.get_id().as_str())
            .and_then(|mut values| values.next());
        let _ = match value {
            Some(value) => writeln!(
                text,
                "{key} = {}\n",
                toml_value(&masked(&key, &value.to_string_lossy()))
            ),
            None => writeln!(text, "# {key} =\n"),
        };
    }
    text
}

fn toml_value(text: &str) -> String {
    if text.parse::<i64>().is_ok() || text.parse::<bool>().is_ok() {
        return text.to_owned();
    }
    toml::Value::String(text.to_owned()).to_string()
}

/// A URL that is none may hold its password anywhere.
fn masked(key: &str, text: &str) -> String {
    if key == "clickhouse_url" && text.parse::<Target>().is_err() {
        return "***".to_owned();
    }
    mask(text)
}

/// `scheme://user:***@host`.
fn mask(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let Some((user, host)) = rest.rsplit_once('@') else {
        return text.to_owned();
    };
    let name = user.split_once(':').map_or(user, |(name, _)| name);
    format!("{scheme}://{name}:***@{host}")
}
