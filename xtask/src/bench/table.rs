//! Takes numbers of several rounds. Gives medians, aligned columns and verdicts on goals.
//! Never rounds before it compares.

/// The middle value; `None` of an empty list.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// Right-aligned cells after a left-aligned name.
pub fn row(name: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:>13}")).collect();
    format!("  {name:<10}{cells}")
}

/// A number, or a dash where there is none.
pub fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

/// What a figure has to be.
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// One measured figure beside its goal.
pub fn verdict(name: &str, value: Option<f64>, goal: &Goal) -> String {
    let Some(value) = value else {
        return format!("  {name:<44} not measured");
    };
    let (words, limit, reached) = match goal {
        Goal::AtMost(limit) => ("at most", limit, value <= *limit),
        Goal::AtLeast(limit) => ("at least", limit, value >= *limit),
    };
    let reached = if reached { "reached" } else { "MISSED" };
    format!("  {name:<44} {value:>7.2}   goal {words} {limit}: {reached}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_figure_on_its_goal_reaches_it() {
        assert!(verdict("x", Some(1.8), &Goal::AtMost(1.8)).ends_with("reached"));
        assert!(verdict("x", Some(1.81), &Goal::AtMost(1.8)).ends_with("MISSED"));
        assert!(verdict("x", Some(0.59), &Goal::AtLeast(0.6)).ends_with("MISSED"));
    }
}
