//! Takes the official conformance suite. Gives that it finds the same through a sidecar as without one, check by check.
//! Never asks whether the fixtures conform: that they do as far as their package does only keeps the runs from being empty.

use tests::conformance::{Path, Requirements, Side, compare, run};

/// Runs directly and on each path, and compares; `passed` is what the fixture reaches, so that nothing passes by not
/// running.
fn same_on(paths: &[Path], requirements: Requirements, side: Side, passed: usize) {
    let direct = run(requirements, side, Path::Direct);
    assert!(
        direct.count("SUCCESS") >= passed,
        "only {} checks passed: {direct:#?}",
        direct.count("SUCCESS")
    );
    let differing: Vec<_> = paths
        .iter()
        .map(|path| {
            let through = run(requirements, side, *path);
            (path, compare(requirements, side, *path, &direct, &through))
        })
        .filter(|(_, comparison)| !comparison.is_equal())
        .map(|(path, comparison)| format!("on the path {}:\n{comparison}", path.name()))
        .collect();
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}

const FOR_SERVERS: [Path; 3] = [Path::Sidecar, Path::Chain, Path::Bridge];
const FOR_CLIENTS: [Path; 2] = [Path::Sidecar, Path::Chain];

#[test]
fn the_suite_finds_the_same_of_a_server_in_the_requirements_of_2025_11_25() {
    same_on(&FOR_SERVERS, Requirements::November2025, Side::Server, 84);
}

#[test]
fn the_suite_finds_the_same_of_a_server_in_the_requirements_of_2026_07_28() {
    same_on(&FOR_SERVERS, Requirements::July2026, Side::Server, 169);
}

#[test]
fn the_suite_finds_the_same_of_a_client_in_the_requirements_of_2025_11_25() {
    same_on(&FOR_CLIENTS, Requirements::November2025, Side::Client, 297);
}

#[test]
fn the_suite_finds_the_same_of_a_client_in_the_requirements_of_2026_07_28() {
    same_on(&FOR_CLIENTS, Requirements::July2026, Side::Client, 461);
}
