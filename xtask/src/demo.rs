//! Takes a checkout and what the machine has. Gives the whole path in one go: real servers, real
//! clients, the sidecar between them, a store, and answers from it.
//! Never leaves a process behind, and never hides what it had to do without.

mod act;
mod peers;
mod scripts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::act::{Act, Place};
use self::peers::{Peers, Stage};
use crate::env::{self, Env};

/// Real servers of different makers, real clients, two tenants, every way a call can fail.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask demo                    builds, runs some hundred calls, shows what the store says
  cargo xtask demo --store DIR        keeps the store there; DIR must be new or empty
  cargo xtask demo --without python   with the client and server on rmcp instead")]
pub struct Args {
    /// Where the store goes; by default under the target folder, made anew.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Do as if the machine had no Python or no Node.
    #[arg(long, value_name = "WHAT", value_parser = ["python", "node"], value_delimiter = ',')]
    without: Vec<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let began = Instant::now();
    let env = Env::here()?;
    let store = new_store(&env, args.store.as_deref())?;
    let peers = Peers::find(&env, &args.without)?;
    let sent = play(&peers, &store)?;
    show(&env, &peers.collector, &store)?;
    compare(&peers.collector, &store, &sent)?;
    println!("\ntook {} s", began.elapsed().as_secs());
    Ok(())
}

/// Runs every session; gives how many requests the clients say they sent, by tenant.
fn play(peers: &Peers, store: &Path) -> Result<BTreeMap<String, u64>> {
    let mut stage = Stage::start(peers, store)?;
    let acts = acts(peers, &mut stage)?;
    println!(
        "{} sessions through the sidecar, for tenants acme and globex",
        acts.len()
    );
    let mut sent = BTreeMap::new();
    let over_pipes = acts.iter().filter(|act| act.over_pipes()).count();
    for act in acts {
        let requests = act.play(peers, &mut stage)?;
        *sent.entry(act.tenant.to_owned()).or_default() += requests;
    }
    println!("ending everything, so that all of it is stored");
    stage.wait_for_summaries(over_pipes)?;
    stage.end()?;
    Ok(sent)
}

fn new_store(env: &Env, wanted: Option<&Path>) -> Result<PathBuf> {
    let folder = match wanted {
        Some(folder) => std::path::absolute(folder)?,
        None => {
            let folder = env::target_dir(&env.root).join("toolspan-demo");
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            folder
        }
    };
    fs::create_dir_all(&folder)?;
    if fs::read_dir(&folder)?.next().is_some() {
        bail!("{} is not empty", folder.display());
    }
    Ok(folder)
}

/// The sessions, in order. The last one ends the server that its tenant shares.
fn acts(peers: &Peers, stage: &mut Stage) -> Result<Vec<Act>> {
    let first = |title, script| Act {
        tenant: "acme",
        title,
        mode: "legacy",
        place: Place::Stdio(peers.first_server.command.clone()),
        headers: Vec::new(),
        script,
    };
    let mut acts = vec![
        first("stdio: work", (peers.first_server.work)()),
        first("stdio: the client is killed", (peers.first_server.killed)()),
    ];
    let second = |title, place: &Place, script| Act {
        tenant: "globex",
        title,
        mode: "modern",
        place: place.clone(),
        headers: Vec::new(),
        script,
    };
    let Some(url) = stage.serve_over_http(peers)? else {
        let place = Place::Stdio(peers.second_server.clone());
        acts.push(second("stdio: work", &place, scripts::fixture_work()));
        acts.push(second(
            "stdio: the server dies",
            &place,
            scripts::child_dies(),
        ));
        return Ok(acts);
    };
    let place = Place::Http(url);
    acts.push(second("HTTP: work", &place, scripts::fixture_work()));
    acts.push(second(
        "HTTP: the client is killed",
        &place,
        scripts::fixture_killed(),
    ));
    acts.push(Act {
        headers: vec!["Origin=http://elsewhere.example"],
        ..second("HTTP: the server refuses", &place, scripts::refused())
    });
    acts.push(second(
        "HTTP: the server dies",
        &place,
        scripts::server_dies(),
    ));
    Ok(acts)
}

/// What the store says, by the collector's own commands.
fn show(env: &Env, collector: &Path, store: &Path) -> Result<()> {
    let ask = |arguments: &[&str]| peers::output(collector, arguments, store);
    println!("\nhow calls ended, by tenant\n");
    print!("{}", ask(&["query", "--format", "table", OUTCOMES])?);
    println!("\ntools by tenant\n");
    print!("{}", ask(&["tools", "--format", "table"])?);
    let rows: Value = serde_json::from_str(&ask(&["query", "--format", "json", SLOWEST])?)?;
    let slowest = rows
        .pointer("/0/TraceId")
        .and_then(Value::as_str)
        .context("the store has no tool call")?;
    println!("\nthe slowest answered tool call as one trace: client, sidecar, server\n");
    print!("{}", ask(&["trace", slowest, "--format", "table"])?);
    let program = env.show(collector);
    let store = env.show(store);
    println!("\nthe store is {store}: Parquet files by tenant, date and hour. Ask it more:");
    println!("  {program} calls --store {store} --errors");
    println!("  {program} query --store {store} \"SELECT * FROM spans LIMIT 5\"");
    Ok(())
}

/// Every request that a client sent is one call in the store, under its tenant.
fn compare(collector: &Path, store: &Path, sent: &BTreeMap<String, u64>) -> Result<()> {
    let rows = peers::output(collector, &["query", "--format", "json", COUNTS], store)?;
    let rows: Vec<Value> = serde_json::from_str(&rows)?;
    let mut found = BTreeMap::new();
    for row in &rows {
        let tenant = row.get("TenantId").and_then(Value::as_str);
        let calls = row.get("calls").and_then(Value::as_u64);
        found.insert(
            tenant.context("a row without its tenant")?.to_owned(),
            calls.context("a row without its count")?,
        );
    }
    if found != *sent {
        bail!("the clients sent {sent:?}, but the store has {found:?}");
    }
    let total: u64 = sent.values().sum();
    println!("\n{total} requests sent, {total} calls found, each once and under its tenant");
    Ok(())
}

const COUNTS: &str = "SELECT \"TenantId\", count(*) AS calls \
     FROM spans WHERE \"IsCall\" GROUP BY \"TenantId\"";

const OUTCOMES: &str = "SELECT \"TenantId\", \"Outcome\", count(*) AS calls FROM spans \
     WHERE \"IsCall\" GROUP BY \"TenantId\", \"Outcome\" ORDER BY \"TenantId\", calls DESC";

const SLOWEST: &str = "SELECT \"TraceId\" FROM spans WHERE \"IsCall\" AND \"McpTool\" <> '' \
     AND \"Outcome\" = 'ok' ORDER BY \"Duration\" DESC LIMIT 1";
