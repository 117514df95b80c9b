//! Takes every kind of wire on both sides of a hop. Gives that a client sees the same answers over each of them.
//! Never lets one kind stand for another: each peer speaks exactly one, and says what it was spoken to with.

mod chain;
mod limits;
mod manners;
mod many;
mod matrix;
mod refusals;
mod secrets;
mod streams;

use std::path::Path;

use tests::sidecar::{Proxy, argument};
use tests::wire::Version;
use tests::wire::certs::{Authority, Identity};
use tests::wire::client::Client;

/// One kind of wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    version: Version,
    tls: bool,
    unix: bool,
}

const fn kind(name: &'static str, version: Version, tls: bool, unix: bool) -> Kind {
    Kind {
        name,
        version,
        tls,
        unix,
    }
}

const KINDS: [Kind; 5] = [
    kind("h1", Version::One, false, false),
    kind("h2c", Version::Two, false, false),
    kind("tls-h1", Version::One, true, false),
    kind("tls-h2", Version::Two, true, false),
    kind("unix", Version::One, false, true),
];

/// Keys that the kinds with TLS need.
struct Keys {
    authority: Authority,
    ours: Identity,
}

impl Default for Keys {
    fn default() -> Self {
        let authority = Authority::default();
        let ours = authority.issue("ours", &["localhost", "127.0.0.1"]);
        Self { authority, ours }
    }
}

impl Keys {
    /// The options of a hop that clients of this kind speak to.
    fn listen(&self, kind: Kind, folder: &Path) -> Vec<String> {
        let mut options = vec!["--listen".to_owned()];
        options.push(match kind.unix {
            true => format!("unix:{}", folder.join("hop").display()),
            false => "127.0.0.1:0".to_owned(),
        });
        if kind.tls {
            for (flag, file) in [
                ("--tls-cert", &self.ours.cert),
                ("--tls-key", &self.ours.key),
            ] {
                options.extend([flag.to_owned(), argument(file).to_owned()]);
            }
        }
        options
    }

    /// The URL of a server of this kind, and the options of a hop that speaks to it.
    fn upstream(&self, kind: Kind, at: &str) -> (String, Vec<String>) {
        let scheme = match (kind.unix, kind.tls) {
            (true, _) => "",
            (_, true) => "https://",
            (_, false) => "http://",
        };
        let mut options = Vec::new();
        if kind.version == Version::Two && !kind.tls {
            options.extend(["--upstream-http".to_owned(), "2".to_owned()]);
        }
        if kind.tls {
            let file = self.authority.file();
            options.extend(["--upstream-ca".to_owned(), argument(&file).to_owned()]);
        }
        (format!("{scheme}{at}"), options)
    }

    fn client(&self, kind: Kind, at: &str) -> Client {
        let tls = kind.tls.then(|| self.authority.client(kind.version, None));
        Client::connect(at, kind.version, tls)
            .unwrap_or_else(|error| panic!("{}: {error}", kind.name))
    }
}

fn start(upstream: &str, options: &[String]) -> Proxy {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Proxy::start(upstream, &options)
}
