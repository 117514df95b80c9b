//! Takes where things are. Gives the programs of other makers, in pinned versions, below the target folder.
//! Never fails the bench: what cannot be installed is a reason in the table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::env::{self, Env, find_program};

/// Everything installed lives here, and only here.
pub struct Store<'a> {
    env: &'a Env,
    home: PathBuf,
    lists: PathBuf,
}

impl<'a> Store<'a> {
    pub fn new(env: &'a Env) -> Result<Self> {
        let home = env.home.join("peers");
        fs::create_dir_all(&home)?;
        let lists = env.root.join("tests/peers");
        Ok(Self { env, home, lists })
    }

    /// A program of crates.io, built for release as its makers do, with their own lock file.
    pub fn crate_program(&self, package: &str, version: &str, program: &str) -> Result<PathBuf> {
        let folder = self.home.join(package);
        let wanted = folder.join("bin").join(program);
        self.once(package, version, &wanted, || {
            println!("building {package} {version} (release; once, several minutes)");
            let mut cargo = self.env.cargo();
            cargo.args(["install", "--quiet", "--locked", "--force", package]);
            cargo.args(["--version", version, "--root"]).arg(&folder);
            // One folder for all of them: they share most of what they depend on.
            cargo.env("CARGO_TARGET_DIR", self.home.join("build"));
            env::run(cargo.current_dir(&self.home))
        })
    }

    /// A program of PyPI, in an environment of its own: its SDK is older than that of the tests.
    pub fn pypi_program(&self, program: &str) -> Result<PathBuf> {
        let folder = self.home.join("python");
        let list = self.lists.join("requirements.txt");
        let wanted = folder.join("bin").join(program);
        self.once("pypi", &text_of(&list)?, &wanted, || {
            println!("installing {program} of PyPI");
            let python = find_program("python3").context("python3 is not on PATH")?;
            env::run(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
            env::run(
                Command::new(folder.join("bin/python"))
                    .args(["-m", "pip", "install", "--quiet", "--no-input"])
                    .args(["--disable-pip-version-check", "-r"])
                    .arg(&list),
            )
        })
    }

    /// A program of the npm registry, by the lock file under `tests/peers`.
    pub fn npm_program(&self, program: &str) -> Result<PathBuf> {
        let folder = self.home.join("node");
        let [manifest, lock] = ["package.json", "package-lock.json"];
        let text = text_of(&self.lists.join(manifest))? + &text_of(&self.lists.join(lock))?;
        let wanted = folder.join("node_modules/.bin").join(program);
        self.once("npm", &text, &wanted, || {
            println!("installing {program} of the npm registry");
            let npm = find_program("npm").context("npm is not on PATH")?;
            fs::create_dir_all(&folder)?;
            for file in [manifest, lock] {
                fs::copy(self.lists.join(file), folder.join(file))?;
            }
            env::run(
                Command::new(npm)
                    .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
                    .current_dir(&folder),
            )
        })
    }

    /// Installs unless this very text was installed before.
    fn once(
        &self,
        name: &str,
        text: &str,
        wanted: &Path,
        install: impl FnOnce() -> Result<()>,
    ) -> Result<PathBuf> {
        let stamp = self.home.join(format!("{name}.stamp"));
        let done = fs::read_to_string(&stamp).is_ok_and(|found| found == text);
        if !done || !wanted.exists() {
            install().with_context(|| format!("{name} cannot be installed"))?;
            fs::write(&stamp, text)?;
        }
        Ok(wanted.to_path_buf())
    }
}

fn text_of(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
