//! Every name that leaves the process.
