//! Takes the names of SDKs, or none for all. Gives the table of the matrix on standard output, reasons on standard error.
//! Never ends well with a cell that failed.
#![expect(clippy::print_stdout, reason = "the table is this program's answer")]

use std::process::ExitCode;
use std::sync::Mutex;

use tests::matrix::{Cell, Direct, Sdk, cells, table};

/// Two cores serve the tests.
const TOGETHER: usize = 2;

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |sdk: &Sdk| names.is_empty() || names.iter().any(|name| name == sdk.name());
    let sdks: Vec<Sdk> = Sdk::ALL.into_iter().filter(chosen).collect();
    if sdks.is_empty() {
        eprintln!("SDKs are: {}", Sdk::ALL.map(Sdk::name).join(", "));
        return ExitCode::FAILURE;
    }
    let wanted = cells().into_iter().filter(|cell| chosen(&cell.sdk));
    let verdicts = run_all(wanted.collect());
    let failed = verdicts.iter().filter(|(_, verdict)| verdict.is_err());
    let failed = failed.count();
    println!("{}", table::markdown(&sdks, |cell| shown(&verdicts, cell)));
    println!("{} cells, {failed} failed", verdicts.len());
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

type Verdicts = Vec<(Cell, Result<(), String>)>;

fn run_all(cells: Vec<Cell>) -> Verdicts {
    let (left, done) = (Mutex::new(cells.into_iter()), Mutex::new(Verdicts::new()));
    let direct = Direct::default();
    let next = || left.lock().ok()?.next();
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while let Some(cell) = next() {
                    let verdict = cell.run(&direct);
                    if let Err(reason) = &verdict {
                        eprintln!("FAIL {cell}\n{reason}\n");
                    }
                    done.lock().expect("no panic inside").push((cell, verdict));
                }
            });
        }
    });
    done.into_inner().expect("no panic inside")
}

fn shown(verdicts: &Verdicts, cell: Cell) -> String {
    match verdicts.iter().find(|(run, _)| cell.repeats(*run)) {
        Some((_, Ok(()))) => "ok".to_owned(),
        Some((_, Err(reason))) => {
            let line = reason.lines().next().unwrap_or_default();
            format!("FAIL {}", line.chars().take(60).collect::<String>())
        }
        None => "?".to_owned(),
    }
}
