//! Takes the official conformance suite. Gives that it finds the same through a sidecar as without one, check by check.
//! Never asks whether the fixtures conform: that they do as far as their package does only keeps the runs from being empty.

use tests::conformance::{Path, Requirements, Side, compare, run};

/// Runs both and compares; `passed` is what the fixture reaches, so that nothing passes by not running.
fn same_on(path: Path, requirements: Requirements, side: Side, passed: usize) {
    let direct = run(requirements, side, Path::Direct);
    assert!(
        direct.count("SUCCESS") >= passed,
        "only {} checks passed: {direct:#?}",
        direct.count("SUCCESS")
    );
    let through = run(requirements, side, path);
    let comparison = compare(requirements, side, path, &direct, &through);
    assert!(comparison.is_equal(), "\n{comparison}");
}

#[test]
fn the_suite_finds_the_same_of_a_server_in_the_requirements_of_2025_11_25() {
    same_on(Path::Sidecar, Requirements::November2025, Side::Server, 84);
}

#[test]
fn the_suite_finds_the_same_of_a_server_in_the_requirements_of_2026_07_28() {
    same_on(Path::Sidecar, Requirements::July2026, Side::Server, 169);
}

#[test]
fn the_suite_finds_the_same_of_a_client_in_the_requirements_of_2025_11_25() {
    same_on(Path::Sidecar, Requirements::November2025, Side::Client, 297);
}

#[test]
fn the_suite_finds_the_same_of_a_client_in_the_requirements_of_2026_07_28() {
    same_on(Path::Sidecar, Requirements::July2026, Side::Client, 461);
}
