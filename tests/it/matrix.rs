//! Takes the official SDKs, each as server and as client, over each transport it speaks. Gives that the sidecar
//! changes nothing but the trace context, joins both sides in one trace, and leaves nothing behind.
//! Never asks for less than the table in README promises.

use tests::matrix::{Direct, Sdk, cells, table};

fn every_cell_of(sdk: Sdk) {
    let direct = Direct::default();
    let failed: Vec<String> = cells()
        .into_iter()
        .filter(|cell| cell.sdk == sdk)
        .filter_map(|cell| Some(format!("{cell}: {}", cell.run(&direct).err()?)))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn python_1_is_the_same_with_and_without_the_sidecar() {
    every_cell_of(Sdk::Python1);
}

#[test]
fn python_2_is_the_same_with_and_without_the_sidecar() {
    every_cell_of(Sdk::Python2);
}

#[test]
fn fastmcp_is_the_same_with_and_without_the_sidecar() {
    every_cell_of(Sdk::FastMcp);
}

#[test]
fn typescript_1_is_the_same_with_and_without_the_sidecar() {
    every_cell_of(Sdk::TypeScript1);
}

#[test]
fn typescript_2_is_the_same_with_and_without_the_sidecar() {
    every_cell_of(Sdk::TypeScript2);
}

#[test]
fn server_everything_is_the_same_with_and_without_the_sidecar() {
    every_cell_of(Sdk::Everything);
}

#[test]
fn rmcp_is_the_same_with_and_without_the_sidecar() {
    every_cell_of(Sdk::Rmcp);
}

#[test]
fn go_is_the_same_with_and_without_the_sidecar() {
    every_cell_of(Sdk::Go);
}

#[test]
fn readme_shows_the_table_that_these_tests_prove() {
    let readme = include_str!("../../README.md");
    let table = table::expected();
    assert!(readme.contains(&table), "README must have\n{table}");
}
