//! Takes the sources of the configuration. Gives every option with its meaning, default and current value, as TOML.
//! What it prints can be saved and used as the file.
//! Never prints a secret: its line stands commented out.

use super::layer::{Layer, Value};
use super::options::{Kind, OPTIONS, Opt, Scope};
use super::{ConfigError, Sources};

/// The whole text of `toolspan config print`.
///
/// # Errors
/// When the file cannot be read, or holds an unknown key or a value of the wrong kind.
pub fn print(sources: &Sources<'_>) -> Result<String, ConfigError> {
    let layers = sources.layers()?;
    let mut out = String::from(
        "# Every option of toolspan. A flag wins over the environment, the environment over\n\
         # this file, the file over the default. A line that is commented out has no value.\n",
    );
    for option in OPTIONS.iter().filter(|option| option.at_top()) {
        describe(&mut out, option);
        line(&mut out, option, &layers.top, true);
    }
    out.push_str("\n# Each hop of `toolspan http`. What stands above is its default.\n");
    for option in OPTIONS
        .iter()
        .filter(|option| option.scope == Scope::Listener)
    {
        describe(&mut out, option);
    }
    if layers.hops.is_empty() {
        out.push_str(
            "\n# [[hop]]\n# listen = \"127.0.0.1:8080\"\n# upstream = \"http://127.0.0.1:3000\"\n",
        );
    }
    for hop in &layers.hops {
        out.push_str("\n[[hop]]\n");
        for option in OPTIONS.iter().filter(|option| option.in_hop()) {
            line(&mut out, option, hop, false);
        }
    }
    Ok(out)
}

fn describe(out: &mut String, option: &Opt) {
    out.push_str(&format!("\n# {}: {}\n", option.key, option.doc));
    let mut ways = vec![format!("Default: {}.", option.default.unwrap_or("none"))];
    ways.extend(option.flag.map(|flag| format!("Flag: {flag}.")));
    ways.extend(option.env.map(|env| format!("Environment: {env}.")));
    out.push_str(&format!("# {}\n", ways.join(" ")));
}

fn line(out: &mut String, option: &Opt, layer: &Layer, with_default: bool) {
    let key = option.key;
    let given = layer.given(key).map(|given| &given.value);
    match (given, option.default) {
        (Some(_), _) if option.kind == Kind::Secret => {
            out.push_str(&format!("# {key} = \"***\"\n"))
        }
        (Some(value), _) => out.push_str(&format!("{key} = {}\n", literal(value))),
        (None, Some(default)) if with_default => out.push_str(&format!("{key} = {default}\n")),
        (None, _) if with_default => out.push_str(&format!("# {key} =\n")),
        (None, _) => {}
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => toml::Value::String(text.clone()).to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Switch(on) => on.to_string(),
        Value::List(texts) => {
            let texts = texts.iter().cloned().map(toml::Value::String);
            toml::Value::Array(texts.collect()).to_string()
        }
    }
}
