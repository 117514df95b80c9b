//! Takes the sources and the documents. Gives the rules of the house as tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is below the checkout")
        .to_owned()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.is_file() {
        found.push(folder.to_owned());
        return;
    }
    for entry in fs::read_dir(folder).expect("a readable folder") {
        sources(&entry.expect("a readable entry").path(), found);
    }
}

/// The part of a file that is shipped: what stands before its tests.
fn shipped(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a readable file");
    text.split("#[cfg(test)]")
        .next()
        .unwrap_or(&text)
        .to_owned()
}

#[test]
fn the_modules_without_io_import_no_runtime_no_socket_and_no_clock() {
    let mut files = Vec::new();
    for part in [
        "sidecar/src/frame.rs",
        "sidecar/src/frame",
        "sidecar/src/session.rs",
        "sidecar/src/session",
        "sidecar/src/trace.rs",
        "sidecar/src/trace",
        "sidecar/src/tenant.rs",
        "sidecar/src/tenant",
        "sidecar/src/switches.rs",
        "sidecar/src/record.rs",
        "sidecar/src/record",
        "collector/src/otlp.rs",
        "collector/src/otlp",
        "collector/src/encode.rs",
        "collector/src/encode",
    ] {
        sources(&root().join(part), &mut files);
    }
    let banned = [
        "tokio",
        "hyper::",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "clock::now",
        "clock::instant",
        "SystemTime::now",
        "Instant::now",
    ];
    let broken: Vec<String> = files
        .iter()
        .filter(|file| !file.to_string_lossy().contains("tests"))
        .flat_map(|file| {
            let text = shipped(file);
            banned
                .iter()
                .filter(|word| text.contains(**word))
                .map(|word| format!("{}: {word}", file.display()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(files.len() > 20, "the modules have moved: {files:?}");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_clock_is_read_in_one_file_of_each_program() {
    let mut files = Vec::new();
    sources(&root().join("sidecar/src"), &mut files);
    sources(&root().join("collector/src"), &mut files);
    let readers: Vec<_> = files
        .iter()
        .filter(|file| {
            let path = file.to_string_lossy();
            !path.contains("tests") && !path.ends_with("/clock.rs")
        })
        .filter(|file| {
            let text = shipped(file);
            text.contains("SystemTime::now") || text.contains("Instant::now")
        })
        .collect();
    assert!(readers.is_empty(), "{readers:#?}");
}

#[test]
fn readme_shows_every_option_as_the_program_prints_it() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, after) = readme.split_once("## Every option of the sidecar").unwrap();
    let shown = after
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let printed = Command::new(tests::programs::toolspan())
        .args(["config", "print"])
        .env_clear()
        .output()
        .unwrap();
    assert!(printed.status.success());
    assert_eq!(shown, String::from_utf8(printed.stdout).unwrap());
}

#[test]
fn readme_shows_every_name_as_the_program_prints_it() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, after) = readme.split_once("<!-- names: begin -->\n").unwrap();
    let (shown, _) = after.split_once("<!-- names: end -->\n").unwrap();
    let printed = Command::new(tests::programs::toolspan())
        .arg("names")
        .env_clear()
        .output()
        .unwrap();
    assert!(printed.status.success());
    assert_eq!(shown, String::from_utf8(printed.stdout).unwrap());
}

#[test]
fn every_test_that_the_fault_table_names_exists() {
    let table = fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let named: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| line.rsplit('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 30, "the table has moved: {named:?}");
    let mut files = Vec::new();
    sources(&root().join("tests/it"), &mut files);
    let text: String = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !text.contains(&format!("#[test]\nfn {name}()")))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let listed = Command::new("git")
        .args([
            "-C",
            root().to_str().unwrap(),
            "grep",
            "-nE",
            r"(^|[^a-zA-Z0-9_.])/(work|root|home)/[a-zA-Z.]",
            "--",
            ".",
        ])
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&listed.stdout);
    let found: Vec<_> = found
        .lines()
        .filter(|line| !line.starts_with("tests/it/house.rs"))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
