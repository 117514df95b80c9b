//! Takes what could be installed and what could not. Gives the variables by which the tests find it.
//! Never skips in silence: what is missing has its reason.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::env::Env;

/// What a run could not do, and why.
#[derive(Default)]
pub struct NotRun {
    pub reasons: Vec<String>,
}

impl NotRun {
    pub fn note(&mut self, what: &str, why: &anyhow::Error) {
        self.reasons.push(format!("{what}: {why:#}"));
    }
}

/// Variables with the paths of what is installed.
#[derive(Default)]
pub struct Installed {
    variables: Vec<(&'static str, PathBuf)>,
}

impl Installed {
    pub fn note(
        &mut self,
        variable: &'static str,
        path: Result<PathBuf>,
        what: &str,
        not_run: &mut NotRun,
    ) {
        match path {
            Ok(path) => self.variables.push((variable, path)),
            Err(why) => not_run.note(what, &why),
        }
    }

    /// The SDKs of the matrix, but for that of the interpreter that other tests need too.
    pub fn sdks(&mut self, env: &Env, not_run: &mut NotRun) {
        let what = "tests with Node peers";
        self.note("TOOLSPAN_TEST_NODE_DIR", env.node_dir(), what, not_run);
        let what = "tests with version 1 of the Python SDK";
        self.note("TOOLSPAN_TEST_PYTHON_1", env.python_1(), what, not_run);
        let what = "tests with Go peers";
        self.note("TOOLSPAN_TEST_GO_DIR", env.go_peers(), what, not_run);
    }

    pub fn put_on(&self, command: &mut Command) {
        for (variable, path) in &self.variables {
            command.env(variable, path);
        }
    }
}
