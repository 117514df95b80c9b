use std::path::Path;

use clap::{Args, Command, FromArgMatches};

use super::file::FileOptions;
use super::*;

fn command() -> Command {
    ServeArgs::augment_args(Command::new("serve"))
}

fn parse(command: Command, flags: &[&str]) -> Result<ServeArgs, clap::Error> {
    let words = std::iter::once("serve").chain(flags.iter().copied());
    command
        .try_get_matches_from(words)
        .and_then(|matches| ServeArgs::from_arg_matches(&matches))
}

fn file(text: &str) -> Result<FileOptions, String> {
    FileOptions::parse(Path::new("c.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let options = file(
        "store = \"s\"\notlp_grpc = \"127.0.0.1:1\"\nallow_public = true\nlog_quota = 1073741825",
    )
    .unwrap();
    let args = parse(
        options.as_defaults(command()),
        &["--otlp-grpc", "127.0.0.1:2"],
    )
    .unwrap();
    assert_eq!(args.otlp_grpc, "127.0.0.1:2");
    assert_eq!(args.otlp_http, "127.0.0.1:4318");
    assert!(args.allow_public);
    let config = args.check().unwrap();
    assert_eq!(
        (config.store.to_str(), config.log_quota),
        (Some("s"), (1 << 30) + 1)
    );
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    assert_eq!(
        file("otlp_gprc = \"x\"").unwrap_err(),
        "c.toml: unknown key \"otlp_gprc\", did you mean \"otlp_grpc\"?"
    );
    assert_eq!(file("zzz = 1").unwrap_err(), "c.toml: unknown key \"zzz\"");
    assert_eq!(
        file("store = [1]").unwrap_err(),
        "c.toml: store is a array, want text, a number, true or false"
    );
    assert!(file("store = ").unwrap_err().starts_with("c.toml: "));
}

#[test]
fn options_that_make_no_sense_together_say_what_to_change() {
    let check = |flags: &[&str]| {
        parse(command(), flags)
            .unwrap()
            .check()
            .err()
            .unwrap()
            .to_string()
    };
    assert!(check(&[]).contains("--store DIR"));
    assert!(check(&["--store", "s", "--no-parquet"]).contains("--clickhouse-url"));
    assert!(check(&["--store", "s", "--log-quota", "64MiB"]).contains("four times --max-export"));
    let error = check(&["--store", "s", "--clickhouse-url", "user:secret@host"]);
    assert!(
        error.contains("http://user:password@host") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn sizes_have_units() {
    assert_eq!(size("65536"), Ok(65536));
    assert_eq!(size("64KiB"), Ok(65536));
    assert_eq!(size("2 MiB"), Ok(2 << 20));
    assert_eq!(size("1g"), Ok(1 << 30));
    for wrong in ["", "MiB", "1TiB", "1.5GiB", "99999999999GiB", "-1"] {
        assert!(size(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_printed_configuration_is_a_file_that_says_the_same() {
    let flags = [
        "serve",
        "--store",
        "s",
        "--clickhouse-url",
        "http://u:secret@h:8123/",
        "--log-quota",
        "2GiB",
    ];
    let matches = command().try_get_matches_from(flags).unwrap();
    let text = print::print(&matches);
    assert!(
        !text.contains("secret") && text.contains("http://u:***@h:8123/"),
        "{text}"
    );
    let again = parse(file(&text).unwrap().as_defaults(command()), &[]).unwrap();
    assert_eq!(again.store, Some("s".into()));
    assert_eq!(again.log_quota, 2 << 30);
    assert_eq!(again.log_level, "info");
    for argument in command()
        .get_arguments()
        .filter_map(|argument| argument.get_long())
    {
        let key = argument.replace('-', "_");
        assert!(
            argument == "config" || text.contains(&format!("{key} =")),
            "{key} is not printed"
        );
    }
}

#[test]
fn a_url_that_is_none_is_not_printed() {
    for url in [
        "u:secret@h:8123",
        "http://u@h:8123/?password=secret",
        "http://u:pass/secret@h:8123/",
    ] {
        let flags = ["serve", "--store", "s", "--clickhouse-url", url];
        let matches = command().try_get_matches_from(flags).unwrap();
        let text = print::print(&matches);
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("clickhouse_url = \"***\""), "{text}");
    }
}
