//! Takes the folder that the suite wrote its checks to. Gives them by scenario, check and occurrence.
//! Never reads a time or a text into the comparison: only what each check came to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One check of one scenario; a scenario may make the same check several times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub scenario: String,
    pub check: String,
    pub occurrence: usize,
}

/// What a check came to, and what the suite says about it.
#[derive(Debug, Clone)]
pub struct Finding {
    pub status: String,
    pub message: String,
}

/// Everything that one run of the suite found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub findings: BTreeMap<Key, Finding>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    id: String,
    status: String,
    error_message: Option<String>,
}

/// The suite puts the time behind the name of a scenario's folder.
const TIME: &str = "-2026-11-20T22-00-00-000Z";

impl Found {
    /// Reads every `checks.json` below a folder; the suite puts `prefix` before the names of its scenarios.
    ///
    /// # Panics
    /// When one cannot be read.
    #[must_use]
    pub fn read(folder: &Path, prefix: &str) -> Self {
        let mut found = Self::default();
        let mut files = Vec::new();
        checks_below(folder, &mut files);
        for file in files {
            let place = file.parent().unwrap_or(folder);
            let name = scenario_of(folder, place);
            found.read_scenario(name.strip_prefix(prefix).unwrap_or(&name), place);
        }
        found
    }

    fn read_scenario(&mut self, scenario: &str, place: &Path) {
        let file = place.join("checks.json");
        let text = std::fs::read_to_string(&file).expect("checks that were just listed");
        let checks: Vec<Check> = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for check in checks {
            let message = check.error_message.unwrap_or_default();
            self.add(scenario, check.id, check.status, message);
        }
        // Beside what the suite saw: how the client itself came out of it.
        if let Ok(said) = std::fs::read_to_string(place.join("stdout.txt")) {
            let mut lines = said.lines().map(str::to_owned);
            let ended = lines.next().unwrap_or_else(|| "nothing".to_owned());
            let detail = lines.next().unwrap_or_default();
            self.add(scenario, "client-ended".to_owned(), ended, detail);
        }
    }

    fn add(&mut self, scenario: &str, check: String, status: String, message: String) {
        let mut key = Key {
            scenario: scenario.to_owned(),
            check,
            occurrence: 1,
        };
        while self.findings.contains_key(&key) {
            key.occurrence += 1;
        }
        self.findings.insert(key, Finding { status, message });
    }

    /// How many checks came to this.
    #[must_use]
    pub fn count(&self, status: &str) -> usize {
        self.findings
            .values()
            .filter(|finding| finding.status == status)
            .count()
    }

    /// How many scenarios ran.
    #[must_use]
    pub fn scenarios(&self) -> usize {
        let mut names: Vec<_> = self.findings.keys().map(|key| &key.scenario).collect();
        names.dedup();
        names.len()
    }
}

fn checks_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the suite's own folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            checks_below(&path, files);
        } else if path.file_name().is_some_and(|name| name == "checks.json") {
            files.push(path);
        }
    }
}

/// `server-tools-list-TIME` and `auth/scope-step-up-TIME` without what the suite added.
fn scenario_of(folder: &Path, place: &Path) -> String {
    let name = place.strip_prefix(folder).unwrap_or(place);
    let name = name.to_string_lossy();
    let bare = name.get(..name.len().saturating_sub(TIME.len()));
    bare.unwrap_or(&name).to_owned()
}
