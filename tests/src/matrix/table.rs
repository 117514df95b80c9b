//! Takes verdicts. Gives the table that `cargo xtask matrix` prints and README keeps.
//! Never runs a cell.

use super::cell::Cell;
use super::column::Column;
use super::sdk::{Part, Sdk};

/// A row each for the server and the client of each of these SDKs; `verdict` is asked for every cell that is spoken.
pub fn markdown(sdks: &[Sdk], mut verdict: impl FnMut(Cell) -> String) -> String {
    let mut text = String::from("| SDK | part |");
    text.extend(Column::ALL.map(|column| format!(" {} |", column.title())));
    text += "\n|---|---|";
    text += &"---|".repeat(Column::ALL.len());
    text.push('\n');
    for sdk in sdks {
        for part in [Part::Server, Part::Client] {
            let cells = Column::ALL.map(|column| Cell::new(*sdk, part, column));
            if cells.iter().all(Option::is_none) {
                continue;
            }
            text += &format!("| {} | {} |", sdk.title(), part.name());
            let verdicts = cells.map(|cell| cell.map_or("-".to_owned(), &mut verdict));
            text.extend(verdicts.map(|verdict| format!(" {verdict} |")));
            text.push('\n');
        }
    }
    text
}

/// The table as it must be.
#[must_use]
pub fn expected() -> String {
    markdown(&Sdk::ALL, |_| "ok".to_owned())
}
