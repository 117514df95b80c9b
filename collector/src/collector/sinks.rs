//! Takes the configuration.
//! Gives the sinks it asks for, in a fixed order.
//! Never opens one before the store is locked.

use super::start::{Spawner, StartError};
use crate::config::Config;
use crate::sink::clickhouse::ClickHouse;
use crate::sink::parquet::{Parquet, ROOT};
use crate::wal::create_folder_durable;

/// The names of the sinks, as they will stand in the ledger, in the order of [`spawn`].
pub fn names(config: &Config) -> Vec<&'static str> {
    let parquet = config.parquet.then_some("parquet");
    let clickhouse = config.clickhouse.as_ref().map(|_| "clickhouse");
    parquet.into_iter().chain(clickhouse).collect()
}

/// Opens each sink and starts its pump.
pub fn spawn(config: &Config, spawner: &mut Spawner) -> Result<(), StartError> {
    if config.parquet {
        let root = config.store.join(ROOT);
        let failed = |source| StartError::Io {
            action: "open the Parquet store",
            path: root.clone(),
            source,
        };
        create_folder_durable(&root).map_err(failed)?;
        spawner.spawn(Parquet::open(&config.store).map_err(failed)?);
    }
    if let Some(target) = &config.clickhouse {
        tracing::info!(%target, "storing in ClickHouse");
        spawner.spawn(ClickHouse::new(target));
    }
    Ok(())
}
