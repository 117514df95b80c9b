//! Takes what was found directly and on a path, and the list of excluded checks. Gives the differences.
//! Never lets an exclusion outlive its reason: one that has become equal is a difference too.

use std::fmt;

use super::found::{Finding, Found, Key};
use super::{Path, Requirements, Side};

/// Checks that cannot be equal on a path by construction.
const EXCLUDED: &str = include_str!("../../golden/conformance-excluded.txt");

/// One line of the list.
#[derive(Debug)]
struct Exclusion<'a> {
    path: &'a str,
    side: &'a str,
    requirements: &'a str,
    scenario: &'a str,
    check: &'a str,
}

impl<'a> Exclusion<'a> {
    fn parse(line: &'a str) -> Self {
        let (left, reason) = line
            .split_once('|')
            .unwrap_or_else(|| panic!("no reason: {line}"));
        assert!(!reason.trim().is_empty(), "no reason: {line}");
        let [path, side, requirements, scenario, check] = left
            .split_whitespace()
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_else(|_| panic!("not five words: {line}"));
        Self {
            path,
            side,
            requirements,
            scenario,
            check,
        }
    }

    fn is_of(&self, requirements: Requirements, side: Side, path: Path) -> bool {
        self.path == path.name()
            && self.side == side.name()
            && ["*", requirements.name()].contains(&self.requirements)
    }

    fn covers(&self, key: &Key) -> bool {
        self.scenario == key.scenario && ["*", &key.check].contains(&self.check)
    }
}

/// One check that came to something else.
#[derive(Debug)]
struct Difference {
    key: Key,
    direct: Option<Finding>,
    through: Option<Finding>,
}

/// What differs between two runs.
#[derive(Debug)]
pub struct Comparison {
    differences: Vec<Difference>,
    stale: Vec<String>,
    pub excluded: usize,
}

/// Compares a run on a path with the direct one.
///
/// # Panics
/// When the list of exclusions cannot be read.
#[must_use]
pub fn compare(
    requirements: Requirements,
    side: Side,
    path: Path,
    direct: &Found,
    through: &Found,
) -> Comparison {
    let lines = EXCLUDED.lines().filter(|line| !line.starts_with('#'));
    let exclusions: Vec<_> = lines
        .map(|line| (line, Exclusion::parse(line)))
        .filter(|(_, exclusion)| exclusion.is_of(requirements, side, path))
        .collect();
    let all = differences(direct, through);
    let stale = exclusions
        .iter()
        .filter(|(_, exclusion)| !all.iter().any(|found| exclusion.covers(&found.key)))
        .map(|(line, _)| (*line).to_owned())
        .collect();
    let (excluded, differences): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|found| exclusions.iter().any(|(_, line)| line.covers(&found.key)));
    Comparison {
        differences,
        stale,
        excluded: excluded.len(),
    }
}

fn differences(direct: &Found, through: &Found) -> Vec<Difference> {
    let only_through = through
        .findings
        .keys()
        .filter(|key| !direct.findings.contains_key(key));
    direct
        .findings
        .keys()
        .chain(only_through)
        .map(|key| Difference {
            key: key.clone(),
            direct: direct.findings.get(key).cloned(),
            through: through.findings.get(key).cloned(),
        })
        .filter(|pair| status(pair.direct.as_ref()) != status(pair.through.as_ref()))
        .collect()
}

fn status(finding: Option<&Finding>) -> &str {
    finding.map_or("(not made)", |finding| &finding.status)
}

impl Comparison {
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty() && self.stale.is_empty()
    }

    #[must_use]
    pub fn differing(&self) -> usize {
        self.differences.len()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.differences.is_empty() {
            writeln!(out, "{:<70} {:<14} through", "check", "direct")?;
        }
        for pair in &self.differences {
            let key = &pair.key;
            let name = format!("{}: {} #{}", key.scenario, key.check, key.occurrence);
            let (direct, through) = (pair.direct.as_ref(), pair.through.as_ref());
            writeln!(out, "{name:<70} {:<14} {}", status(direct), status(through))?;
            for (side, finding) in [("direct", direct), ("through", through)] {
                if let Some(finding) = finding.filter(|finding| !finding.message.is_empty()) {
                    writeln!(out, "    {side}: {}", finding.message)?;
                }
            }
        }
        for line in &self.stale {
            writeln!(out, "excluded, but equal: {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
