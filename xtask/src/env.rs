//! Takes what a job needs. Gives the paths of what is installed, under `target/toolspan-test` only.
//! Never installs twice: a stamp holds the text that was installed, and a second run is instant.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Where things are: the checkout, and the folder that everything installed goes into.
pub struct Env {
    pub root: PathBuf,
    pub home: PathBuf,
}

impl Env {
    /// The checkout this program was built from.
    pub fn here() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has no parent folder")?
            .to_path_buf();
        let home = target_dir(&root).join("toolspan-test");
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        Ok(Self { root, home })
    }

    /// An interpreter with the pinned packages of both files under `tests/python`: the MCP and
    /// OpenTelemetry SDKs, and the ClickHouse engine.
    pub fn python_with_engine(&self) -> Result<PathBuf> {
        self.python()?;
        self.python_packages("python", "requirements-engine.txt")
    }

    /// An interpreter with the pinned packages of `tests/python/requirements.txt`.
    pub fn python(&self) -> Result<PathBuf> {
        self.python_environment("python")?;
        self.python_packages("python", "requirements.txt")
    }

    /// The same with FastMCP, which is built on the same version of `mcp`.
    pub fn python_with_sdks(&self) -> Result<PathBuf> {
        self.python()?;
        self.python_packages("python", "requirements-fastmcp.txt")
    }

    /// An interpreter with the first major version of `mcp`.
    pub fn python_1(&self) -> Result<PathBuf> {
        self.python_environment("python-1")?;
        self.python_packages("python-1", "requirements-python-1.txt")
    }

    fn python_environment(&self, name: &str) -> Result<()> {
        let system = find_program("python3").context("python3 is not on PATH")?;
        let version = run_for_text(Command::new(&system).arg("--version"))?;
        let stamp = self.home.join(format!("{name}.stamp"));
        let venv = self.home.join(name);
        if !venv.join("bin/python").exists() || !stamped(&stamp, &version) {
            println!("making a Python environment in {}", self.show(&venv));
            forget(&stamp, &venv)?;
            run(Command::new(&system).args(["-m", "venv"]).arg(&venv))?;
            fs::write(&stamp, version)?;
        }
        Ok(())
    }

    fn python_packages(&self, environment: &str, list: &str) -> Result<PathBuf> {
        let venv = self.home.join(environment);
        let python = venv.join("bin/python");
        let wanted = self.root.join("tests/python").join(list);
        let text = read(&wanted)?;
        // Inside the environment, so that it goes when the environment is made anew.
        let stamp = venv.join(format!("{list}.stamp"));
        if !stamped(&stamp, &text) {
            println!("installing the Python packages of {}", self.show(&wanted));
            run(Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--no-input"])
                .arg("--disable-pip-version-check")
                .arg("-r")
                .arg(&wanted))?;
            fs::write(&stamp, text)?;
        }
        Ok(python)
    }

    /// The folder whose `node_modules` holds the packages of `tests/node/package.json`.
    pub fn node_dir(&self) -> Result<PathBuf> {
        let wanted = self.root.join("tests/node");
        let folder = self.home.join("node");
        let node = find_program("node").context("node is not on PATH")?;
        let npm = find_program("npm").context("npm is not on PATH")?;
        let version = run_for_text(Command::new(node).arg("--version"))?;
        let manifest = read(&wanted.join("package.json"))?;
        let lock = read(&wanted.join("package-lock.json"))?;
        let text = format!("{version}\n{manifest}\n{lock}");
        let stamp = self.home.join("node.stamp");
        if folder.join("node_modules").exists() && stamped(&stamp, &text) {
            return Ok(folder);
        }
        println!("installing npm packages into {}", self.show(&folder));
        forget(&stamp, &folder)?;
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), manifest)?;
        fs::write(folder.join("package-lock.json"), lock)?;
        run(Command::new(npm)
            .args([
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ])
            .current_dir(&folder))?;
        fs::write(&stamp, text)?;
        Ok(folder)
    }

    /// The folder with the programs of `tests/sdk/go`; Go itself knows what has to be built anew.
    pub fn go_peers(&self) -> Result<PathBuf> {
        let go = find_program("go").context("go is not on PATH")?;
        let folder = self.home.join("go");
        fs::create_dir_all(&folder)?;
        println!("building the Go peers in {}", self.show(&folder));
        run(Command::new(go)
            .args(["build", "-o"])
            .arg(&folder)
            .arg("./...")
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-mod=readonly")
            .current_dir(self.root.join("tests/sdk/go")))?;
        Ok(folder)
    }

    /// A program of a Debian package; the package is installed when it is missing and we are root.
    pub fn debian(&self, program: &str, package: &str) -> Result<PathBuf> {
        if let Some(path) = find_program(program) {
            return Ok(path);
        }
        if !is_root() {
            bail!("{program} is missing and installing the Debian package {package} needs root");
        }
        println!("installing the Debian package {package}");
        if apt_install(package).is_err() {
            run(apt_get().arg("update"))?;
            apt_install(package)?;
        }
        find_program(program)
            .with_context(|| format!("the package {package} brought no program {program}"))
    }

    /// Builds the two programs in the debug profile and gives their paths: sidecar, collector.
    pub fn programs(&self) -> Result<(PathBuf, PathBuf)> {
        println!("building toolspan and toolspan-collector");
        self.build_programs(&["toolspan", "toolspan-collector"])?;
        let debug = target_dir(&self.root).join("debug");
        Ok((debug.join("toolspan"), debug.join("toolspan-collector")))
    }

    /// Builds programs of any member in the debug profile. They are named within the whole workspace,
    /// because `-p` would choose other features and build the largest dependencies a second time.
    pub fn build_programs(&self, names: &[&str]) -> Result<()> {
        let mut cargo = self.cargo();
        cargo.args(["build", "--quiet", "--workspace"]);
        for name in names {
            cargo.args(["--bin", name]);
        }
        run(&mut cargo)
    }

    /// The cargo that runs this job, in the checkout.
    pub fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// A path as a reader of the checkout would write it.
    pub fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}

/// Cargo's target folder, which `CARGO_TARGET_DIR` may move.
pub fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// The first program of this name on PATH, or in the folders of system programs.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Runs a command without standard input and fails with its name when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn run_for_text(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null());
    command
}

fn apt_install(package: &str) -> Result<()> {
    // A package that starts a service would leave a process behind: policy-rc.d is not ours to
    // write, so the service starts are refused for this one command.
    run(apt_get()
        .args(["install", "-y", "--no-install-recommends", package])
        .env("RUNLEVEL", "1"))
}

fn is_root() -> bool {
    // The owner of our own entry in /proc is the effective user, without a system call by hand.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn stamped(stamp: &Path, text: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|found| found == text)
}

fn forget(stamp: &Path, folder: &Path) -> Result<()> {
    for outcome in [fs::remove_file(stamp), fs::remove_dir_all(folder)] {
        match outcome {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
