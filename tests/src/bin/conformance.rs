//! Takes the name of a path, or, started by the conformance suite, the URL of a scenario. Gives a table of what the
//! suite finds directly and on that path with every difference, or plays the scenario; or is the command of a bridge.
//! Never passes when something differs.
//!
//!     conformance report PATH [REQUIREMENTS] [SIDE]
//!     conformance client URL
//!     conformance stdio
#![expect(
    clippy::print_stdout,
    reason = "its output is read by people and by the suite"
)]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tests::conformance::{Found, Path, Requirements, Side, compare, play, run, stand_in};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["client", url] => client(url),
        ["stdio"] => stand_in().map(|()| true),
        ["report", path, only @ ..] => report(path, only),
        _ => Err(anyhow::anyhow!(
            "report PATH [REQUIREMENTS] [SIDE], client URL, or stdio"
        )),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn client(url: &str) -> Result<bool> {
    let [ended, detail] = play(url)?;
    println!("{ended}\n{detail}");
    Ok(ended == "ok")
}

/// Runs everything, or only the requirement set and the side that are named.
fn report(path: &str, only: &[&str]) -> Result<bool> {
    let path = Path::named(path).with_context(|| format!("no path is called {path}"))?;
    let mut names = Requirements::ALL.map(Requirements::name).to_vec();
    names.extend(Side::ALL.map(Side::name));
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        bail!("{unknown} is none of {}", names.join(", "));
    }
    let wanted = |name: &str, all: &[&str]| {
        only.contains(&name) || !only.iter().any(|chosen| all.contains(chosen))
    };
    let (sets, sides) = (
        Requirements::ALL.map(Requirements::name),
        Side::ALL.map(Side::name),
    );
    println!("{HEAD}");
    let mut equal = true;
    for requirements in Requirements::ALL {
        for side in Side::ALL {
            if path.is_for(side)
                && wanted(requirements.name(), &sets)
                && wanted(side.name(), &sides)
            {
                equal &= one(requirements, side, path);
            }
        }
    }
    Ok(equal)
}

const HEAD: &str =
    "requirements  side    path     scenarios  checks  passed  failed  warnings  differ  seconds";

fn one(requirements: Requirements, side: Side, path: Path) -> bool {
    let measured = |path: Path| {
        let started = Instant::now();
        (
            run(requirements, side, path),
            started.elapsed().as_secs_f32(),
        )
    };
    let row = |path: Path, found: &Found, differ: &str, seconds: f32| {
        println!(
            "{:<12}  {:<6}  {:<7}  {:>9}  {:>6}  {:>6}  {:>6}  {:>8}  {differ:>6}  {seconds:>7.1}",
            requirements.name(),
            side.name(),
            path.name(),
            found.scenarios(),
            found.findings.len(),
            found.count("SUCCESS"),
            found.count("FAILURE"),
            found.count("WARNING"),
        );
    };
    let (direct, seconds) = measured(Path::Direct);
    row(Path::Direct, &direct, "-", seconds);
    let (through, seconds) = measured(path);
    let comparison = compare(requirements, side, path, &direct, &through);
    row(path, &through, &comparison.differing().to_string(), seconds);
    if comparison.excluded > 0 {
        println!(
            "{} checks excluded, with reasons in tests/golden",
            comparison.excluded
        );
    }
    print!("{comparison}");
    comparison.is_equal()
}
