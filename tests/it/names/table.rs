//! Takes what `toolspan names` prints. Gives its rows.
//! Never fills in what a row does not say.

use std::collections::BTreeSet;
use std::process::Command;

/// An attribute with its type, on one kind of carrier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attribute {
    pub on: String,
    pub name: String,
    pub kind: String,
}

/// An exported metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    pub name: String,
    pub kind: String,
    pub unit: String,
}

/// A metric of the admin listener's page, with the label that its series have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OnPage {
    pub name: String,
    pub label: Option<String>,
    pub kind: String,
}

#[derive(Debug, Default)]
pub struct Table {
    pub attributes: BTreeSet<Attribute>,
    pub exported: BTreeSet<Metric>,
    pub page: BTreeSet<OnPage>,
}

impl Table {
    /// The table of the program that the tests run.
    pub fn read() -> Self {
        let printed = Command::new(tests::programs::toolspan())
            .arg("names")
            .output()
            .expect("the program starts");
        let text = String::from_utf8(printed.stdout).expect("a text");
        let mut table = Self::default();
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let line = line.trim_start_matches("| ").trim_end_matches(" |");
            table.add(&line.split(" | ").collect::<Vec<_>>());
        }
        assert!(
            table.attributes.len() > 40 && table.page.len() > 20,
            "{text}"
        );
        table
    }

    fn add(&mut self, cells: &[&str]) {
        let word = |cell: &str| cell.trim_matches('`').to_owned();
        match cells {
            ["attribute" | "metric", ..] => {}
            [name, kind, _source, on, when] => {
                assert!(!when.is_empty(), "{cells:?}");
                for on in on.split(", ") {
                    let new = self.attributes.insert(Attribute {
                        on: on.to_owned(),
                        name: word(name),
                        kind: word(kind),
                    });
                    assert!(new, "twice: {cells:?}");
                }
            }
            [name, kind, unit, _source, on_page, what] => {
                assert!(!what.is_empty(), "{cells:?}");
                if *name != "-" {
                    let (name, kind, unit) = (word(name), word(kind), word(unit));
                    assert!(
                        self.exported.insert(Metric { name, kind, unit }),
                        "twice: {cells:?}"
                    );
                }
                if *on_page != "-" {
                    self.page.insert(OnPage::of(&word(on_page), kind));
                }
            }
            _ => {}
        }
    }
}

impl OnPage {
    /// `name` or `name{label}`; a sum is what Prometheus calls a counter.
    fn of(series: &str, kind: &str) -> Self {
        let (name, label) = match series.split_once('{') {
            Some((name, label)) => (name, Some(label.trim_end_matches('}').to_owned())),
            None => (series, None),
        };
        Self {
            name: name.to_owned(),
            label,
            kind: kind.replace("sum", "counter"),
        }
    }
}
