//! Takes what was found out about each peer. Gives the table, the reasons of gaps, and who is ahead where.
//! Never prints a figure for a peer that failed: a dash, and the reason below the table.

use anyhow::Result;
use serde_json::Value;

use super::adapter::Kind;
use super::{Finding, LOADS, Load, Options};
use crate::bench::programs::number;
use crate::bench::table::median;

const WIDTH: usize = 21;

/// One cell: its text, and how it ranks where less is better.
struct Cell {
    text: String,
    rank: Option<f64>,
}

/// What a finding says, seen against the direct one.
type Figure = fn(&Finding, &Finding) -> Cell;
type Row = (String, Figure);

pub fn print(findings: &[Finding], options: &Options) {
    let Some(direct) = findings.iter().find(|finding| finding.kind == Kind::Direct) else {
        println!("without the direct row there is nothing to compare with");
        return;
    };
    for (bridges, title) in [
        (false, "HTTP in front of an HTTP server"),
        (true, "HTTP in front of a command on pipes"),
    ] {
        let columns: Vec<&Finding> = findings
            .iter()
            .filter(|finding| finding.kind.bridges() == bridges)
            .collect();
        if columns.is_empty() {
            continue;
        }
        println!("\n{title}");
        print_group(&columns, direct, options);
    }
    print_reasons(findings);
    println!(
        "\nMedians of {} rounds of {} s; us of the median of 50 streams whose server waits before the next\n\
         event; leaks as processes/sockets/descriptors more than before. In front of pipes the direct calls\n\
         are those to an HTTP server. `held`: the first event came only with the\n\
         answer, or never.",
        options.rounds, options.seconds
    );
}

fn print_group(columns: &[&Finding], direct: &Finding, options: &Options) {
    let heads = columns.iter().map(|finding| {
        let words = [finding.kind.name(), finding.kind.version()];
        format!("{:>WIDTH$}", words.join(" ").trim().replace("-bridge", ""))
    });
    println!("  {:<30}{}", "", heads.collect::<String>());
    let (mut ahead, mut behind) = (0, Vec::new());
    for (name, cell) in rows(options) {
        let cells: Vec<(Kind, Cell)> = columns
            .iter()
            .map(|finding| (finding.kind, cell(finding, direct)))
            .collect();
        let texts: String = cells
            .iter()
            .map(|(_, cell)| format!("{:>WIDTH$}", cell.text))
            .collect();
        println!("  {name:<30}{texts}");
        match leads(&cells) {
            true => ahead += 1,
            false => behind.push(name),
        }
    }
    println!("  toolspan is ahead of every peer, or level at yes and 0/0/0, in {ahead} rows");
    if !behind.is_empty() {
        println!("  BEHIND, or not measured: {}", behind.join(", "));
    }
}

/// Whether ours is measured and no peer ranks before it.
fn leads(cells: &[(Kind, Cell)]) -> bool {
    let ours = cells.iter().find(|(kind, _)| kind.is_ours());
    let Some(ours) = ours.and_then(|(_, cell)| cell.rank) else {
        return false;
    };
    let peers = cells
        .iter()
        .filter(|(kind, _)| !kind.is_ours() && *kind != Kind::Direct);
    peers
        .filter_map(|(_, cell)| cell.rank)
        .all(|peer| ours <= peer)
}

fn rows(options: &Options) -> Vec<Row> {
    let kept: [(&str, Figure); 7] = [
        ("_meta kept", |f, _| yes(f, "meta_kept")),
        ("trace id kept", |f, _| yes(f, "trace_kept")),
        ("context injected", |f, _| yes(f, "injected")),
        ("header to _meta", |f, _| yes(f, "header_to_meta")),
        ("key order kept", |f, _| yes(f, "key_order")),
        ("all other bytes kept", |f, _| yes(f, "bytes")),
        ("first event, added us", first_event),
    ];
    let loads: [(&str, [Figure; 2]); 3] = [
        (
            "p50, us (added)",
            [
                |f, d| added(f, d, 0, |load| load.p50),
                |f, d| added(f, d, 1, |load| load.p50),
            ],
        ),
        (
            "p99, us (added)",
            [
                |f, d| added(f, d, 0, |load| load.p99),
                |f, d| added(f, d, 1, |load| load.p99),
            ],
        ),
        ("calls/s", [|f, _| rate(f, 0), |f, _| rate(f, 1)]),
    ];
    let mut rows: Vec<Row> = kept.map(|(name, cell)| (name.to_owned(), cell)).into();
    rows.push((format!("left by {} killed clients", options.kills), leak));
    for (load, connections) in LOADS.iter().enumerate() {
        rows.extend(loads.iter().filter_map(|(words, cells)| {
            let cell = cells.get(load)?;
            Some((format!("c = {connections}: {words}"), *cell))
        }));
    }
    rows
}

fn gap() -> Cell {
    Cell {
        text: "-".to_owned(),
        rank: None,
    }
}

fn yes(finding: &Finding, key: &str) -> Cell {
    let told = finding
        .carriage
        .as_ref()
        .ok()
        .and_then(|report| report.get(key)?.as_bool());
    match told {
        None => gap(),
        // What a hop adds is not missing where there is no hop.
        Some(false) if finding.kind == Kind::Direct => gap(),
        Some(told) => Cell {
            text: if told { "yes" } else { "NO" }.to_owned(),
            rank: Some(if told { 0.0 } else { 1.0 }),
        },
    }
}

fn first_event(finding: &Finding, direct: &Finding) -> Cell {
    let of = |finding: &Finding| {
        let report = finding.first_event.as_ref().ok()?;
        report.get("median_us").and_then(Value::as_f64)
    };
    let held = finding
        .first_event
        .as_ref()
        .is_ok_and(|report| number(report, "held").is_ok_and(|held| held > 0.0));
    match (of(finding), of(direct)) {
        _ if held => Cell {
            text: "held".to_owned(),
            rank: Some(f64::INFINITY),
        },
        (Some(own), _) if finding.kind == Kind::Direct => Cell {
            text: format!("({own:.0})"),
            rank: None,
        },
        (Some(own), Some(direct)) => Cell {
            text: format!("{:.0}", own - direct),
            rank: Some(own - direct),
        },
        _ => gap(),
    }
}

fn leak(finding: &Finding, _: &Finding) -> Cell {
    match &finding.leak {
        Ok(leak) => Cell {
            text: leak.map(|count| count.to_string()).join("/"),
            rank: Some(leak.iter().sum::<usize>() as f64),
        },
        Err(_) => gap(),
    }
}

fn figure(finding: &Finding, load: usize, of: fn(&Load) -> f64) -> Option<f64> {
    let wanted = LOADS.get(load)?;
    let measured = finding.loads.iter().filter_map(|load| load.as_ref().ok());
    median(measured.filter(|load| load.connections == *wanted).map(of))
}

fn added(finding: &Finding, direct: &Finding, load: usize, of: fn(&Load) -> f64) -> Cell {
    match (figure(finding, load, of), figure(direct, load, of)) {
        (Some(own), _) if finding.kind == Kind::Direct => Cell {
            text: format!("{own:.0}"),
            rank: None,
        },
        (Some(own), Some(direct)) => Cell {
            text: format!("{own:.0} ({:+.0})", own - direct),
            rank: Some(own),
        },
        _ => gap(),
    }
}

fn rate(finding: &Finding, load: usize) -> Cell {
    figure(finding, load, |load| load.per_second).map_or_else(gap, |rate| Cell {
        text: format!("{rate:.0}"),
        rank: Some(-rate),
    })
}

/// Every gap in the table, once for each peer and reason.
fn print_reasons(findings: &[Finding]) {
    for finding in findings {
        let name = finding.kind.name();
        if let Some(broken) = &finding.broken {
            println!("\n  {name} does not run: {broken}");
            continue;
        }
        let mut reasons = vec![reason(&finding.carriage), reason(&finding.first_event)];
        reasons.extend(finding.loads.iter().map(reason));
        if finding.kind != Kind::Direct {
            reasons.push(reason(&finding.leak));
        }
        let mut reasons: Vec<String> = reasons.into_iter().flatten().collect();
        reasons.dedup();
        for reason in reasons {
            println!("\n  {name}: {reason}");
        }
    }
}

fn reason<T>(outcome: &Result<T>) -> Option<String> {
    outcome.as_ref().err().map(|error| format!("{error:#}"))
}
