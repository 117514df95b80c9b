//! Takes the environment that `cargo xtask test` sets. Gives the programs under test and the peers' interpreters.
//! Never falls back to another program in silence: what is missing is named, with the command that makes it.

use std::path::{Path, PathBuf};

/// The sidecar.
#[must_use]
pub fn toolspan() -> PathBuf {
    built("TOOLSPAN_BIN", "toolspan")
}

/// The collector.
#[must_use]
pub fn collector() -> PathBuf {
    built("TOOLSPAN_COLLECTOR_BIN", "toolspan-collector")
}

/// The interpreter that has the packages of `tests/python`.
#[must_use]
pub fn python() -> PathBuf {
    let installed = target().join("toolspan-test/python/bin/python");
    present("TOOLSPAN_TEST_PYTHON", installed, "cargo xtask test")
}

/// The interpreter that has the first major version of `mcp`.
#[must_use]
pub fn python_1() -> PathBuf {
    let installed = target().join("toolspan-test/python-1/bin/python");
    present("TOOLSPAN_TEST_PYTHON_1", installed, "cargo xtask test")
}

/// A program of `tests/sdk/go`.
#[must_use]
pub fn go_peer(name: &str) -> PathBuf {
    let built = target().join("toolspan-test/go");
    present("TOOLSPAN_TEST_GO_DIR", built, "cargo xtask test").join(name)
}

/// A file under `tests/sdk`.
#[must_use]
pub fn sdk_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(name)
}

/// A file under `tests/python`.
#[must_use]
pub fn python_script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("python")
        .join(name)
}

/// A file of an installed npm package.
#[must_use]
pub fn node_module(path: &str) -> PathBuf {
    let installed = target().join("toolspan-test/node");
    present("TOOLSPAN_TEST_NODE_DIR", installed, "cargo xtask test")
        .join("node_modules")
        .join(path)
}

/// A program of this package, beside the running one or one folder up (tests run from `deps`).
#[must_use]
pub fn own(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a program knows its own path");
    here.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is missing; build it with `cargo build -p tests`"))
}

fn built(variable: &str, name: &str) -> PathBuf {
    let debug = target().join("debug").join(name);
    present(variable, debug, &format!("cargo build -p {name}"))
}

fn present(variable: &str, fallback: PathBuf, remedy: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or(fallback, PathBuf::from);
    assert!(
        path.exists(),
        "{} is missing; make it with `{remedy}`, or set {variable}",
        path.display()
    );
    path
}

/// Cargo's target folder.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    )
}
