//! Takes what a hop was told. Gives what stands behind it and how its connections are treated, with all files read.
//! Never changes a hop that runs: what cannot be read is known before anything is.

use std::sync::Arc;

use anyhow::Context;
use tracing::warn;

use super::{Told, tenants};
use crate::admin::Board;
use crate::config::{self, BridgeSettings, HopSettings, Server};
use crate::session::Hop;
use crate::tap::bridge::{self, Bridge};
use crate::tap::http::{Door, Front, Manners, Proxy, Room, Upstream};
use crate::tenant::Tenants;
use crate::wire::tls::{self, TlsError};
use crate::wire::{Address, Dialer};

/// A hop that could start now.
#[derive(Debug)]
pub(super) struct Ready {
    pub told: Told,
    pub door: Arc<Door>,
    pub behind: Behind,
    pub tenants: Arc<Tenants>,
}

/// What stands behind a hop.
#[derive(Debug)]
pub(super) enum Behind {
    Upstream(Upstream, Manners),
    Command(BridgeSettings),
}

impl Ready {
    /// Reads certificates and keys. What is `disabled` needs nothing that only says whose a call is.
    pub fn new(told: Told, room: &Arc<Room>, disabled: bool) -> anyhow::Result<Self> {
        let name = &told.hop.name;
        let server = told.hop.tls.clone().map(tls::Server::new).transpose();
        let server = server.with_context(|| format!("hop {name}: TLS towards clients"))?;
        let behind = match &told.hop.server {
            Server::Command(settings) => Behind::Command(settings.clone()),
            Server::Upstream(settings) => upstream(settings, &told)
                .map(|upstream| Behind::Upstream(upstream, settings.manners.clone()))
                .with_context(|| format!("hop {name}: TLS towards the server"))?,
        };
        let door = Arc::new(Door {
            tls: server.map(Arc::new),
            bounds: told.limits.bounds,
            room: Arc::clone(room),
        });
        let tenants = match disabled {
            true => behind.tenants_if_any(&told.hop),
            false => tenants::read(&told.hop.common.tenant)
                .with_context(|| format!("hop {name}: tenants"))?,
        };
        Ok(Self {
            door,
            behind,
            tenants: Arc::new(tenants),
            told,
        })
    }
}

fn upstream(settings: &config::Upstream, told: &Told) -> Result<Upstream, TlsError> {
    let tls = settings.tls.as_ref();
    let client = tls.map(|tls| tls::Client::new(tls.files.clone(), &tls.name));
    Ok(Upstream {
        dialer: Dialer {
            endpoint: settings.endpoint.clone(),
            tls: client.transpose()?.map(Arc::new),
            http: settings.http,
            timeout: told.limits.connect_timeout,
        },
        authority: settings.authority.clone(),
        prefix: settings.prefix.clone(),
    })
}

impl Behind {
    /// Of a hop that is switched off: only a bridge asks for tenants then, to tell whose its sessions are.
    fn tenants_if_any(&self, hop: &HopSettings) -> Tenants {
        let rule = &hop.common.tenant;
        if matches!(self, Self::Upstream(..)) {
            return Tenants::from(rule.clone());
        }
        tenants::read(rule).unwrap_or_else(|error| {
            let error = format!("{error:#}");
            warn!(hop = %hop.name, %error, "switched off, and goes on without its tenants");
            Tenants::from(rule.clone())
        })
    }

    /// What clients meet. A bridge goes on under new settings, because it has sessions.
    pub fn front(
        &self,
        told: &Told,
        tenants: &Arc<Tenants>,
        hop: Option<Arc<Hop>>,
        board: &Board,
        address: &Address,
        old: Option<&Front>,
    ) -> Front {
        let settings = match self {
            Self::Upstream(upstream, manners) => {
                let upstream = upstream.clone();
                let manners = manners.clone();
                return Front::Proxy(Arc::new(Proxy {
                    hop,
                    upstream,
                    manners,
                }));
            }
            Self::Command(settings) => settings,
        };
        let rules = bridge::Rules::new(
            hop,
            settings.clone(),
            Arc::clone(tenants),
            &told.limits,
            address,
        );
        match old {
            Some(Front::Bridge(bridge)) => {
                bridge.renew(rules);
                Front::Bridge(Arc::clone(bridge))
            }
            _ => Front::Bridge(Bridge::start(rules, Arc::clone(&board.counters))),
        }
    }

    /// Certificates may have changed though no setting did.
    pub fn read_files_again(&self, door: &Door, hop: &str) {
        let client = match self {
            Self::Upstream(upstream, _) => upstream.dialer.tls.as_ref(),
            Self::Command(_) => None,
        };
        let outcomes = [
            door.tls.as_ref().map(|tls| tls.reload()),
            client.map(|tls| tls.reload()),
        ];
        for outcome in outcomes.into_iter().flatten() {
            if let Err(error) = outcome {
                warn!(%hop, %error, "new certificates cannot be used: the old ones stay");
            }
        }
    }
}
