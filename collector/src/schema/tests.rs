use std::collections::HashSet;

use super::*;

/// The DDL of version 1 as it was released. It changes only together with the version.
const GOLDEN: &str = include_str!("../../../tests/golden/clickhouse-v1.sql");

#[test]
fn the_ddl_is_the_golden_one() {
    assert_eq!(VERSION, 1, "a new version needs a new golden file");
    assert_eq!(clickhouse::print(clickhouse::DATABASE), GOLDEN);
}

#[test]
fn names_are_unique_and_tenant_comes_first() {
    for signal in [Signal::Traces, Signal::Metrics] {
        let table = Table::of(signal);
        let names: HashSet<_> = table.columns.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), table.columns.len());
        assert_eq!(table.columns[0].name, "TenantId");
        assert!(!names.contains(UNIX_NANO));
    }
}

#[test]
fn an_attribute_moves_to_one_column_only() {
    let columns = Table::of(Signal::Traces).columns.iter();
    let attributes: Vec<_> = columns.filter_map(|column| column.attribute).collect();
    let unique: HashSet<_> = attributes.iter().collect();
    assert_eq!(unique.len(), attributes.len());
    assert!(attributes.len() > 15);
}

#[test]
#[ignore = "writes the golden DDL; run it once, when the schema has a new version"]
fn write_the_golden_ddl() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
    let path = format!("{folder}/clickhouse-v{VERSION}.sql");
    std::fs::write(path, clickhouse::print(clickhouse::DATABASE)).unwrap();
}

#[tokio::test]
async fn a_wrong_url_is_refused_without_its_password() {
    use clap::{Args as _, FromArgMatches as _};
    for url in [
        "me:secret@host",
        "https://me:secret@host/",
        "http://me:secret@host/?password=secret",
        "http://me:pass/secret@host/",
        "http://me:pass?secret@host/",
        "http://me:pass?secret=1&x@host/",
    ] {
        let words = ["schema", "apply", "--clickhouse-url", url];
        let command = SchemaArgs::augment_args(clap::Command::new("schema"));
        let matches = command.try_get_matches_from(words).unwrap();
        let args = SchemaArgs::from_arg_matches(&matches).unwrap();
        let error = run(args).await.unwrap_err().to_string();
        assert!(error.contains("--clickhouse-url"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
