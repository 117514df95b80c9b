//! Takes what stands behind a hop. Gives the service's name where the user gave none.
//! Never looks anything up: only at the words of the command, or the address.

use std::ffi::OsString;
use std::path::Path;

use super::{HopSettings, Server, Settings};

/// Commands that only start another program, which is the one worth a name.
const RUNNERS: [&str; 12] = [
    "bun", "bunx", "deno", "env", "node", "npx", "pipx", "pnpm", "python", "python3", "uv", "uvx",
];
/// Their words before it.
const RUNNER_WORDS: [&str; 4] = ["dlx", "exec", "run", "tool"];

impl Settings {
    /// Names the service after the wrapped command.
    pub fn name_after_command(&mut self, command: &[OsString]) {
        self.telemetry.default_service_name(&program(command));
    }

    /// Names the service after its one upstream or command, or each hop after its own.
    pub fn name_after_upstreams(&mut self) {
        if self.telemetry.service_name.is_some() {
            return;
        }
        if let [one] = self.hops.as_slice() {
            let name = match &one.server {
                Server::Upstream(upstream) => upstream.endpoint.host().to_owned(),
                Server::Command(bridge) => program(&bridge.command),
            };
            self.telemetry.default_service_name(&name);
            return;
        }
        for HopSettings { server, common, .. } in &mut self.hops {
            let name = || match server {
                Server::Upstream(upstream) => upstream.authority.as_str().into(),
                Server::Command(bridge) => program(&bridge.command).into(),
            };
            common.resource.service_name.get_or_insert_with(name);
        }
    }

    /// Gives hops the service name that the process would have, where it differs from the one the process started with.
    pub fn name_hops_anew(&mut self, started_with: Option<&str>) {
        let now = self.telemetry.service_name.as_deref();
        if let Some(now) = now.filter(|_| now != started_with) {
            for hop in &mut self.hops {
                let name = &mut hop.common.resource.service_name;
                name.get_or_insert_with(|| now.into());
            }
        }
    }
}

fn program(command: &[OsString]) -> String {
    let mut words = command.iter().map(|word| word.to_string_lossy());
    let Some(first) = words.next() else {
        return String::new();
    };
    let first = base(&first);
    if !RUNNERS.contains(&first.as_str()) {
        return first;
    }
    let is_option = |word: &str| word.starts_with('-') || word.contains('=');
    words
        .find(|word| !is_option(word) && !RUNNER_WORDS.contains(&&**word))
        .map_or(first, |word| base(&word))
}

/// `server-everything` of `@modelcontextprotocol/server-everything@1.0`, `server.py` of a path.
fn base(word: &str) -> String {
    let name = Path::new(word).file_name();
    let name = name.map_or_else(|| word.into(), |name| name.to_string_lossy());
    match name.split_once('@') {
        Some((name, _version)) if !name.is_empty() => name.to_owned(),
        _ => name.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_named_after_what_it_runs() {
        for (line, name) in [
            ("/opt/bin/weather --port 1", "weather"),
            (
                "npx -y @modelcontextprotocol/server-everything stdio",
                "server-everything",
            ),
            ("npx -y @scope/pkg@1.2.3", "pkg"),
            ("uvx mcp-server-time", "mcp-server-time"),
            ("uv run server.py", "server.py"),
            ("python3 -m weather.main", "weather.main"),
            ("env KEY=1 weather", "weather"),
            ("node", "node"),
            ("", ""),
        ] {
            let command: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
            assert_eq!(program(&command), name, "{line}");
        }
    }
}
