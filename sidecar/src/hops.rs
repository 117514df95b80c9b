//! Takes the settings of hops. Gives hops that listen; changed, added and drained while the process runs.
//! Never serves before every listener is bound, and never ends a stream because a setting changed.

mod port_files;
mod ready;
mod tenants;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

use crate::admin::{Board, Station};
use crate::clock;
use crate::config::{HopCommon, HopSettings, Limits, Server, Settings};
use crate::counters::Gauge;
use crate::record::{HopInfo, Outcome};
use crate::session::Hop;
use crate::switches::{Switch, Switches};
use crate::tap::http::{Door, Front, Room, Service, end_idle_sessions, serve};
use crate::tenant::Tenants;
use crate::wire::{Address, Listener};
use port_files::PortFiles;
use ready::{Behind, Ready};

/// What a hop was told: where any of it differs, the hop has other settings.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    hop: HopSettings,
    limits: Limits,
}

/// A hop whose address is ours, though nobody is answered yet.
#[derive(Debug)]
struct Bound {
    ready: Ready,
    listener: Listener,
}

/// A hop that serves.
#[derive(Debug)]
struct Running {
    told: Told,
    address: Address,
    station: Arc<Station>,
    fronts: watch::Sender<Front>,
    doors: watch::Sender<Arc<Door>>,
    behind: Behind,
    tenants: Arc<Tenants>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    /// Looks for idle sessions; ends with the hop.
    idle: JoinSet<()>,
    /// What stood behind it under other settings, and may still have sessions.
    retired: Vec<Front>,
}

/// What a reload did, by the names of the hops.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    pub unchanged: usize,
}

/// All hops of the process.
#[derive(Debug)]
pub struct Hops {
    board: Arc<Board>,
    /// `TOOLSPAN_DISABLED`: bytes pass, and nothing else happens.
    disabled: bool,
    /// What the connections of all hops share.
    room: Arc<Room>,
    running: Vec<Running>,
    /// Hops that were removed, until their streams have ended.
    draining: JoinSet<()>,
}

impl Hops {
    /// Binds every address, and serves when all of them are ours.
    ///
    /// # Errors
    /// When an address cannot be bound or a port file not be written; then nobody was answered.
    pub async fn start(settings: &Settings, board: Arc<Board>) -> anyhow::Result<Self> {
        let mut hops = Self {
            room: Arc::new(Room::new(
                settings.limits.max_connections,
                Arc::clone(&board.counters),
            )),
            board,
            disabled: settings.disabled,
            running: Vec::new(),
            draining: JoinSet::new(),
        };
        let all: Result<_, _> = told(settings)
            .map(|told| Ready::new(told, &hops.room, hops.disabled))
            .collect();
        let bound = bind_all(all?).await?;
        PortFiles::of(&bound)?.publish()?;
        for hop in bound {
            hops.serve(hop);
        }
        Ok(hops)
    }

    fn serve(&mut self, bound: Bound) {
        let Bound { ready, listener } = bound;
        let Ready {
            told,
            door,
            behind,
            tenants,
        } = ready;
        let address = listener.address().clone();
        let switches = Switches::below(&self.board.switches, told.hop.common.inject);
        let switches = Arc::new(switches);
        let hop = (!self.disabled).then(|| {
            let telemetry = self.board.telemetry.clone();
            let common = &told.hop.common;
            let max = told.limits.max_open_calls;
            let tenants = Arc::clone(&tenants);
            let info = info(&told);
            Arc::new(new_hop(info, common, tenants, max, telemetry, &switches))
        });
        if let Some(hop) = &hop {
            hop.set_long_after(told.limits.long_call_after);
        }
        let idle = idle(&told, hop.as_ref());
        let station = Arc::new(Station {
            name: told.hop.name.clone(),
            switches,
            connections: Arc::new(Gauge::default()),
            hop: hop.clone(),
        });
        let front = behind.front(&told, &tenants, hop, &self.board, &address, None);
        let (fronts, doors, stop) = (
            watch::Sender::new(front),
            watch::Sender::new(door),
            watch::Sender::new(false),
        );
        let service = Service {
            fronts: fronts.subscribe(),
            doors: doors.subscribe(),
            connections: Arc::clone(&station.connections),
            stop: stop.subscribe(),
        };
        self.board.add(Arc::clone(&station));
        info!(hop = %station.name, %address, server = %told.hop.server, "listening");
        self.running.push(Running {
            told,
            address,
            station,
            fronts,
            doors,
            behind,
            tenants,
            stop,
            serving: tokio::spawn(serve(listener, service)),
            idle,
            retired: Vec::new(),
        });
    }

    /// Follows new settings: hops that are told the same stay as they are, new ones are bound before anything changes.
    ///
    /// # Errors
    /// When a new address cannot be bound or a port file not be written; then nothing has changed.
    pub async fn reload(&mut self, settings: &Settings) -> anyhow::Result<Changes> {
        let mut changes = Changes::default();
        let (mut renewed, mut new) = (Vec::new(), Vec::new());
        for told in told(settings) {
            let ready = Ready::new(told, &self.room, self.disabled)?;
            match self.running.iter().position(|hop| hop.is_at(&ready.told)) {
                Some(index) => renewed.push((index, ready)),
                None => new.push(ready),
            }
        }
        let bound = bind_all(new).await?;
        let mut port_files = PortFiles::of(&bound)?;
        for (index, ready) in &renewed {
            if let Some(hop) = self.running.get(*index)
                && hop.told.hop.port_file != ready.told.hop.port_file
                && let Some(file) = &ready.told.hop.port_file
            {
                port_files.add(file, &hop.address)?;
            }
        }
        port_files.publish()?;
        // From here on nothing can fail.
        let kept: Vec<usize> = renewed.iter().map(|(index, _)| *index).collect();
        for (index, ready) in renewed {
            match self.running.get_mut(index) {
                Some(hop) if hop.told != ready.told => {
                    changes.changed.push(ready.told.hop.name.clone());
                    hop.renew(ready, &self.board);
                }
                Some(hop) => {
                    hop.read_files_again();
                    // Its file may have changed though no setting did.
                    hop.tenants.follow(&ready.tenants);
                    changes.unchanged += 1;
                }
                None => {}
            }
        }
        let all = std::mem::take(&mut self.running).into_iter().enumerate();
        let (stay, go): (Vec<_>, Vec<_>) = all.partition(|(index, _)| kept.contains(index));
        self.running.extend(stay.into_iter().map(|(_, hop)| hop));
        for (_, hop) in go {
            changes.removed.push(hop.station.name.clone());
            self.draining
                .spawn(hop.end(Arc::clone(&self.board), settings.drain));
        }
        for hop in bound {
            changes.added.push(hop.ready.told.hop.name.clone());
            self.serve(hop);
        }
        while self.draining.try_join_next().is_some() {}
        Ok(changes)
    }

    /// Accepts nobody any more, and waits until every open exchange has ended. Whoever stops waiting cuts the rest.
    pub async fn drain(&mut self) {
        for hop in &self.running {
            hop.stop.send_replace(true);
            hop.fronts().for_each(|front| front.drain());
        }
        for hop in &mut self.running {
            // A listener that panicked is no reason to leave the others.
            let _ended = (&mut hop.serving).await;
        }
        while self.draining.join_next().await.is_some() {}
    }

    /// Ends what is left behind every hop, side by side: each takes its time.
    pub async fn finish(&self) {
        finish(self.running.iter().flat_map(Running::fronts)).await;
    }

    /// Connections that are still open.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        let stations = self.board.stations();
        stations.iter().map(|hop| hop.connections.get()).sum()
    }
}

impl Running {
    /// Whether this is the hop that is told this: by its name, or by the address it holds.
    fn is_at(&self, told: &Told) -> bool {
        let (own, other) = (&self.told.hop, &told.hop);
        own.listen == other.listen && (own.name == other.name || !own.listen.is_any_port())
    }

    fn read_files_again(&self) {
        let door = self.doors.borrow();
        self.behind.read_files_again(&door, &self.station.name);
    }

    fn renew(&mut self, ready: Ready, board: &Board) {
        let Ready {
            told,
            door,
            behind,
            tenants,
        } = ready;
        let station = &self.station;
        let common = &told.hop.common;
        if common.inject != self.told.hop.common.inject {
            station.switches.set(Switch::Injection, common.inject);
        }
        let hop = station.hop.as_ref().map(|hop| {
            Arc::new(hop.renewed(
                info(&told),
                Arc::clone(&tenants),
                common.max_inject_bytes,
                told.limits.max_open_calls,
            ))
        });
        if let Some(hop) = &hop {
            hop.set_long_after(told.limits.long_call_after);
        }
        let renewed = Arc::new(Station {
            name: told.hop.name.clone(),
            switches: Arc::clone(&station.switches),
            connections: Arc::clone(&station.connections),
            hop: hop.clone(),
        });
        self.idle = idle(&told, hop.as_ref());
        board.replace(station, Arc::clone(&renewed));
        self.station = renewed;
        let old = self.fronts.borrow().clone();
        let new = behind.front(&told, &tenants, hop, board, &self.address, Some(&old));
        if !new.is_same(&old) {
            old.retire();
            self.retired.push(old);
        }
        self.fronts.send_replace(new);
        self.doors.send_replace(door);
        self.behind = behind;
        self.tenants = tenants;
        self.told = told;
    }

    /// Everything that may still have sessions.
    fn fronts(&self) -> impl Iterator<Item = Front> {
        let current = self.fronts.borrow().clone();
        self.retired.iter().cloned().chain([current])
    }

    /// Lets open exchanges end until the deadline, then cuts them.
    async fn end(mut self, board: Arc<Board>, drain: Duration) {
        self.stop.send_replace(true);
        self.fronts().for_each(|front| front.drain());
        if tokio::time::timeout(drain, &mut self.serving)
            .await
            .is_err()
        {
            warn!(hop = %self.station.name, after = ?drain, "ending a removed hop with open streams");
        }
        finish(self.fronts()).await;
        if let Some(hop) = &self.station.hop {
            hop.end_all(Outcome::Shutdown, clock::now());
        }
        self.serving.abort();
        board.remove(&self.station);
    }
}

/// Ends what is left behind these.
async fn finish(fronts: impl Iterator<Item = Front>) {
    let mut finishing: JoinSet<()> = fronts
        .map(|front| async move { front.finish().await })
        .collect();
    // One that panicked is no reason to leave the others.
    while finishing.join_next().await.is_some() {}
}

fn told(settings: &Settings) -> impl Iterator<Item = Told> + '_ {
    settings.hops.iter().map(|hop| Told {
        hop: hop.clone(),
        limits: settings.limits,
    })
}

/// All or none.
async fn bind_all(all: Vec<Ready>) -> anyhow::Result<Vec<Bound>> {
    let mut bound = Vec::with_capacity(all.len());
    for ready in all {
        let listener = bind(&ready.told.hop.listen, "--listen").await?;
        bound.push(Bound { ready, listener });
    }
    Ok(bound)
}

/// Binds one address; the error names it and the option that holds it.
///
/// # Errors
/// When it cannot be bound.
pub async fn bind(address: &Address, option: &str) -> anyhow::Result<Listener> {
    Listener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: is another program there? choose another address with {option}")
    })
}

fn idle(told: &Told, hop: Option<&Arc<Hop>>) -> JoinSet<()> {
    let mut looking = JoinSet::new();
    // A bridge has the sessions itself, and ends them itself.
    let proxied = matches!(told.hop.server, Server::Upstream(_));
    if let (true, Some(hop), Some(limit)) = (proxied, hop, told.limits.session_idle) {
        looking.spawn(end_idle_sessions(Arc::clone(hop), limit));
    }
    looking
}

fn info(told: &Told) -> HopInfo {
    let (address, port) = match &told.hop.server {
        Server::Upstream(upstream) => {
            let endpoint = &upstream.endpoint;
            (Some(endpoint.host().into()), endpoint.port())
        }
        Server::Command(_) => (None, None),
    };
    HopInfo {
        network_transport: told.hop.listen.transport(),
        network_protocol_name: Some("http"),
        network_protocol_version: Some("1.1"),
        server_address: address,
        server_port: port,
        ..hop_info(&told.hop.common)
    }
}

/// What hops of every kind say of themselves.
#[must_use]
pub fn hop_info(common: &HopCommon) -> HopInfo {
    HopInfo {
        side: common.side,
        span_pair: common.span_pair,
        network_transport: "pipe",
        network_protocol_name: None,
        network_protocol_version: None,
        server_address: None,
        server_port: None,
        resource: Arc::new(common.resource.clone()),
    }
}

/// A hop that observes under these settings.
#[must_use]
pub fn new_hop(
    info: HopInfo,
    common: &HopCommon,
    tenants: Arc<Tenants>,
    max_open_calls: usize,
    telemetry: crate::export::Telemetry,
    switches: &Arc<Switches>,
) -> Hop {
    Hop::new(
        info,
        tenants,
        common.max_inject_bytes,
        max_open_calls,
        telemetry,
        Arc::clone(switches),
    )
}
