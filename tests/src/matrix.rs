//! Takes SDKs of other makers. Gives, for each that can be a server or a client and for each transport it speaks,
//! whether anything but the trace context is different with the sidecar in the path.
//! Never excuses a difference: a cell is `ok`, not spoken, or failed with a reason.

pub mod sdk;

pub mod column;

pub mod script;

mod peers;

mod cell;

mod check;

pub mod table;

pub use cell::{Cell, Direct};
pub use column::Column;
pub use sdk::{Part, Sdk};

/// Every cell that is spoken: each SDK as server with the reference client, and as client with the reference server.
/// A cell that would only repeat an earlier one is left out.
#[must_use]
pub fn cells() -> Vec<Cell> {
    let rows = Sdk::ALL
        .iter()
        .flat_map(|sdk| [Part::Server, Part::Client].map(|part| (*sdk, part)));
    let spoken = rows
        .flat_map(|(sdk, part)| Column::ALL.map(|column| (sdk, part, column)))
        .filter_map(|(sdk, part, column)| Cell::new(sdk, part, column));
    let mut cells: Vec<Cell> = Vec::new();
    for cell in spoken {
        if !cells.iter().any(|earlier| cell.repeats(*earlier)) {
            cells.push(cell);
        }
    }
    cells
}
