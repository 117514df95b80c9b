//! Takes the spans of a trace.
//! Gives their tree, drawn for people.
//! Never hides a span: one whose parent is missing, or who is its own ancestor, stands at the top and says so.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::output::{Cells, shown};
use crate::calendar;

/// Deeper than any real trace, and short of what a terminal shows.
const MAX_DEPTH: usize = 200;

/// One line of the drawing, still unaligned.
struct Line {
    branch: String,
    row: usize,
    note: Option<String>,
}

/// Who stands under whom.
struct Tree<'a> {
    cells: &'a Cells,
    children: HashMap<usize, Vec<usize>>,
    drawn: Vec<bool>,
    lines: Vec<Line>,
}

/// Draws the trace, with a heading. There must be at least one span.
pub(super) fn draw(cells: &Cells) -> String {
    let mut tree = Tree {
        cells,
        children: HashMap::new(),
        drawn: vec![false; cells.rows.len()],
        lines: Vec::new(),
    };
    let roots = tree.link();
    for (row, note) in roots {
        tree.root(row, note);
    }
    // What no root reaches hangs in a circle.
    for row in 0..cells.rows.len() {
        if tree.drawn.get(row) == Some(&false) {
            tree.root(row, Some("its own ancestor".to_owned()));
        }
    }
    let mut text = heading(cells);
    text.push_str(&aligned(cells, &tree.lines));
    text
}

impl Tree<'_> {
    /// Finds each span's parent, and gives those without.
    fn link(&mut self) -> Vec<(usize, Option<String>)> {
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (row, cells) in self.cells.rows.iter().enumerate() {
            first.entry(self.cells.get(cells, "SpanId")).or_insert(row);
        }
        let mut roots = Vec::new();
        for (row, cells) in self.cells.rows.iter().enumerate() {
            let parent = self.cells.get(cells, "ParentSpanId");
            match first.get(parent) {
                Some(place) => self.children.entry(*place).or_default().push(row),
                None if parent.is_empty() => roots.push((row, None)),
                None => roots.push((row, Some(format!("parent {parent} is not stored")))),
            }
        }
        roots
    }

    fn root(&mut self, row: usize, note: Option<String>) {
        self.line(String::new(), row, note);
        self.below(row, "", 0);
    }

    fn below(&mut self, row: usize, indent: &str, depth: usize) {
        let children = self.children.get(&row).cloned().unwrap_or_default();
        let last = children.len().saturating_sub(1);
        for (place, child) in children.into_iter().enumerate() {
            if self.drawn.get(child) != Some(&false) || depth > MAX_DEPTH {
                continue;
            }
            let (branch, more) = if place == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            self.line(format!("{indent}{branch}"), child, None);
            self.below(child, &format!("{indent}{more}"), depth + 1);
        }
    }

    fn line(&mut self, branch: String, row: usize, note: Option<String>) {
        if let Some(drawn) = self.drawn.get_mut(row) {
            *drawn = true;
        }
        self.lines.push(Line { branch, row, note });
    }
}

fn heading(cells: &Cells) -> String {
    let first = cells.rows.first().map_or(&[][..], Vec::as_slice);
    let start = cells.get(first, "StartUnixNano").parse().unwrap_or(0);
    let count = |name| {
        let mut all: Vec<&str> = cells.rows.iter().map(|row| cells.get(row, name)).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    let spans = plural(cells.rows.len(), "span");
    let services = plural(count("ServiceName"), "service");
    format!(
        "trace {}  {}  {spans}, {services}\n\n",
        cells.get(first, "TraceId"),
        calendar::millis(start)
    )
}

fn plural(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// Name, duration, kind, service, tenant, how it ended; `*` marks the span that stands for the call.
fn aligned(cells: &Cells, lines: &[Line]) -> String {
    let empty: &[String] = &[];
    let table: Vec<[String; 5]> = lines
        .iter()
        .map(|line| {
            let row = cells.rows.get(line.row).map_or(empty, Vec::as_slice);
            let get = |name| shown(cells.get(row, name)).into_owned();
            let mark = if get("IsCall") == "true" { "*" } else { " " };
            let ms = get("DurationMs").parse::<f64>().unwrap_or(0.0);
            [
                format!("{mark} {}{}", line.branch, get("SpanName")),
                format!("{ms:.2} ms"),
                get("SpanKind"),
                get("ServiceName"),
                get("TenantId"),
            ]
        })
        .collect();
    let width = |place: usize| {
        let cells = table.iter().filter_map(|row| row.get(place));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let [name, ms, kind, service, tenant] = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for (line, [a, b, c, d, e]) in lines.iter().zip(&table) {
        let row = cells.rows.get(line.row).map_or(empty, Vec::as_slice);
        let end = ending(cells, row, line.note.as_deref());
        let drawn = format!("{a:name$}  {b:>ms$}  {c:kind$}  {d:service$}  {e:tenant$}  {end}");
        let _ = writeln!(text, "{}", drawn.trim_end());
    }
    text
}

fn ending(cells: &Cells, row: &[String], note: Option<&str>) -> String {
    let (outcome, status) = (cells.get(row, "Outcome"), cells.get(row, "StatusCode"));
    let error = cells.get(row, "ErrorType");
    let mut end = if outcome.is_empty() {
        status.to_lowercase()
    } else {
        outcome.to_owned()
    };
    if !error.is_empty() && error != outcome {
        let _ = write!(end, " ({error})");
    }
    if let Some(note) = note {
        let _ = write!(end, "  [{note}]");
    }
    shown(&end).into_owned()
}

#[cfg(test)]
mod tests;
