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
