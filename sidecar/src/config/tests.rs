use std::io::Write;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::options::{OPTIONS, Scope};
use super::*;
use crate::export::Protocol;
use crate::record::Side;
use crate::tenant::{JwtRule, Source, Trusted};
use crate::wire::{Endpoint, HttpChoice};

/// A configuration file and an environment.
struct World {
    file: Option<NamedTempFile>,
    env: Vec<(&'static str, &'static str)>,
    flags: Layer,
}

impl World {
    fn new(file: &str, env: &[(&'static str, &'static str)], flags: &[(&str, &str)]) -> Self {
        let mut layer = Layer::default();
        for (key, value) in flags {
            layer.flag(key, Some(Value::Text((*value).to_owned())));
        }
        let file = (!file.is_empty()).then(|| {
            let mut on_disk = NamedTempFile::new().unwrap();
            on_disk.write_all(file.as_bytes()).unwrap();
            on_disk
        });
        Self {
            file,
            env: env.to_vec(),
            flags: layer,
        }
    }

    fn with<T>(&self, ask: impl FnOnce(&Sources<'_>) -> T) -> T {
        let env = |name: &str| {
            let found = self.env.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        ask(&Sources {
            flags: self.flags.clone(),
            file: self.file.as_ref().map(|file| file.path().to_owned()),
            env: &env,
        })
    }

    fn load(&self, mode: Mode) -> Settings {
        self.with(|sources| Settings::load(sources, mode)).unwrap()
    }

    fn error(&self, mode: Mode) -> String {
        let error = self.with(|sources| Settings::load(sources, mode)).err();
        let text = error.expect("this must be refused").to_string();
        match &self.file {
            Some(file) => text.replace(&*file.path().to_string_lossy(), "FILE"),
            None => text,
        }
    }
}

fn stdio(file: &str) -> Settings {
    World::new(file, &[], &[]).load(Mode::Stdio)
}

#[test]
fn defaults_are_those_that_are_documented() {
    let settings = stdio("");
    assert!(!settings.disabled && settings.telemetry.enabled);
    assert_eq!(settings.telemetry.traces.endpoint, "http://127.0.0.1:4317");
    assert_eq!(settings.telemetry.traces.protocol, Protocol::Grpc);
    assert_eq!(settings.telemetry.traces.timeout, Duration::from_secs(30));
    assert_eq!(
        settings.telemetry.queue,
        crate::export::QueueLimits::default()
    );
    assert_eq!(settings.telemetry.metrics_interval, Duration::from_secs(10));
    assert_eq!(settings.limits.max_open_calls, 10_000);
    assert_eq!(settings.limits.long_call_after, Duration::from_secs(300));
    assert_eq!(settings.limits.connect_timeout, Duration::from_secs(10));
    assert_eq!(settings.log, LogSettings::default());
    let hop = HopCommon {
        tenant: TenantRule::default(),
        side: Side::Server,
        span_pair: false,
        inject: true,
        max_inject_bytes: 4_194_304,
        resource: HopResource::default(),
    };
    assert_eq!(settings.stdio, hop);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "tenant = \"file\"\nside = \"client\"\notlp_endpoint = \"http://file:1\"";
    let env = [
        ("TOOLSPAN_TENANT_FROM", "header:X-Tenant"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:1"),
    ];
    let of_file = stdio(file);
    assert_eq!(of_file.stdio.tenant, TenantRule::fixed("file"));
    assert_eq!(of_file.stdio.side, Side::Client);
    assert_eq!(of_file.telemetry.process_tenant.as_deref(), Some("file"));
    let of_env = World::new(file, &env, &[]).load(Mode::Stdio);
    let header = http::HeaderName::from_static("x-tenant");
    assert_eq!(of_env.stdio.tenant.sources, [Source::Header(header)]);
    assert_eq!(of_env.telemetry.traces.endpoint, "http://env:1");
    assert_eq!(of_env.telemetry.process_tenant, None);
    let flags = [("tenant", "flag"), ("otlp_endpoint", "http://flag:1")];
    let of_flag = World::new(file, &env, &flags).load(Mode::Stdio);
    assert_eq!(of_flag.stdio.tenant, TenantRule::fixed("flag"));
    assert_eq!(of_flag.telemetry.traces.endpoint, "http://flag:1");
    assert_eq!(of_flag.stdio.side, Side::Client);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let of = |file: &str| World::new(file, &[], &[]).error(Mode::Check);
    assert_eq!(
        of("otlp_endpiont = \"x\""),
        "FILE: unknown key `otlp_endpiont`; the nearest known one is `otlp_endpoint`"
    );
    assert_eq!(
        of("[[hop]]\nlisten_on = \"x\""),
        "FILE: unknown key `listen_on`; the nearest known one is `listen`"
    );
    assert_eq!(
        of("[[hops]]\nlisten = \"x\""),
        "FILE: unknown key `hops`; the nearest known one is `hop`"
    );
    // Of the process, so it cannot stand in a hop.
    assert!(of("[[hop]]\nlog_level = \"info\"").contains("unknown key `log_level`"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let of = |file: &str| World::new(file, &[], &[]).error(Mode::Check);
    assert_eq!(
        of("span_pair = 1"),
        "FILE: `span_pair`: must be true or false"
    );
    assert_eq!(
        of("side = \"left\""),
        "FILE: `side`: must be server or client, not \"left\""
    );
    assert_eq!(
        of("queue_records = 0"),
        "FILE: `queue_records`: must be at least 1"
    );
    assert_eq!(
        of("queue_records = -1"),
        "FILE: `queue_records`: must not be negative"
    );
    assert_eq!(
        of("tenant = \"\""),
        "FILE: `tenant`: a tenant is 1 to 128 bytes without control characters"
    );
    assert_eq!(
        of("tenant_from = \"cookie:x\""),
        "FILE: `tenant_from`: must be certificate:PATTERN, jwt:CLAIM, token, header:NAME, kubernetes:namespace, kubernetes:label:KEY or baggage:KEY"
    );
    assert!(of("tenant = \"a\"\ntenant_from = \"header:x\"").contains("cannot stand beside"));
    assert!(of("otlp_protocol = \"http/json\"").contains("must be grpc or http/protobuf"));
    assert!(of("otlp_endpoint = \"https://x\"").contains("TLS to the collector"));
    let world = World::new("", &[("TOOLSPAN_QUEUE_BYTES", "many")], &[]);
    assert_eq!(
        world.error(Mode::Stdio),
        "TOOLSPAN_QUEUE_BYTES: must be a whole number"
    );
}

#[test]
fn sources_of_the_tenant_are_one_or_a_list() {
    let list = "tenant_from = [\"token\", \"header:X-A\", \"baggage:k\"]\ntokens_file = \"t\"\ntrusted_proxies = []";
    let rule = stdio(list).stdio.tenant;
    let header = |name| Source::Header(http::HeaderName::from_static(name));
    assert_eq!(rule.sources, [Source::Token, header("x-a")]);
    assert_eq!(rule.baggage, ["k".into()]);
    assert_eq!(rule.tokens_file.as_deref(), Some("t".as_ref()));
    assert_eq!(rule.trusted, Trusted::Networks(Vec::new()));
    let env = [("TOOLSPAN_TENANT_FROM", "header:X-A, header:X-B,baggage:k")];
    let rule = World::new("", &env, &[]).load(Mode::Stdio).stdio.tenant;
    assert_eq!(rule.sources, [header("x-a"), header("x-b")]);
    assert_eq!(
        (rule.baggage.len(), rule.trusted),
        (1, Trusted::ThisMachine)
    );
    let of = |file: &str| World::new(file, &[], &[]).error(Mode::Check);
    for (list, problem) in [
        ("\"token\"", "token needs tokens_file"),
        ("\"jwt:t\"", "jwt:CLAIM needs jwt_keys_file"),
        ("\"jwt:\"", "the claim after jwt: is missing"),
        ("\"baggage:k\", \"header:x\"", "must stand last"),
        ("\"header: \"", "no name of a header"),
        ("\"header:Authorization\"", "a credential is no name"),
        ("\"header:cookie\"", "a credential is no name"),
        ("\"header:proxy-authorization\"", "a credential is no name"),
        ("\"\"", "must be certificate:PATTERN"),
        ("\"kubernetes:label:\"", "must be certificate:PATTERN"),
        ("\"kubernetes:name\"", "must be certificate:PATTERN"),
        ("\"baggage:k\", \"kubernetes:namespace\"", "must stand last"),
        ("\"certificate:dns:example.com\"", "with one {tenant}"),
        ("\"token:x\"", "must be certificate:PATTERN"),
        ("1", "must be a list of strings"),
    ] {
        let error = of(&format!("tenant_from = [{list}]"));
        assert!(error.starts_with("FILE: `tenant_from`: "), "{error}");
        assert!(error.contains(problem), "{error}");
    }
    assert!(of("tenant_from = 1").contains("must be a list of strings"));
    let files = "tokens_file = \"t\"\njwt_keys_file = \"k\"\njwt_audience = \"a\"\ntenant_from = ";
    assert!(of(&format!("{files}[\"token\", \"jwt:t\"]")).contains("must stand before token"));
    assert!(of(&format!("{files}[\"jwt:t\", \"jwt:u\"]")).contains("can stand once"));
    let rule = stdio(&format!("{files}[\"jwt:t\", \"token\"]"))
        .stdio
        .tenant;
    let jwt = JwtRule {
        claim: "t".into(),
        issuer: None,
        audience: Some("a".to_owned()),
    };
    assert_eq!(rule.sources, [Source::Jwt(jwt), Source::Token]);
    assert_eq!(rule.jwt_keys_file.as_deref(), Some("k".as_ref()));
}

#[test]
fn what_a_pod_is_told_of_itself_is_the_tenant_of_what_names_none() {
    let labels = NamedTempFile::new().unwrap();
    std::fs::write(labels.path(), "team=\"acme\"\n").unwrap();
    let file = labels.path();
    let load = |list: &str| {
        let text = format!("kubernetes_labels_file = {file:?}\ntenant_from = [{list}]");
        World::new(&text, &[("POD_NAMESPACE", "prod")], &[]).load(Mode::Stdio)
    };
    let of = |list: &str| {
        let own = load(list).stdio.tenant.own;
        own.map(|own| (own.name.to_string(), own.source.as_str()))
    };
    let prod = Some(("prod".to_owned(), "kubernetes"));
    let acme = Some(("acme".to_owned(), "kubernetes"));
    assert_eq!(of("\"kubernetes:namespace\""), prod);
    assert_eq!(of("\"kubernetes:label:team\""), acme);
    let first = "\"header:x\", \"kubernetes:label:none\", \"kubernetes:label:team\", \"header:y\", \"kubernetes:namespace\", \"baggage:k\"";
    assert_eq!(of(first), acme);
    let settings = load(first);
    assert_eq!(
        settings.stdio.tenant.sources.len(),
        1,
        "the others are never asked"
    );
    assert_eq!(settings.telemetry.process_tenant, None);
    let [warning] = settings.warnings.as_slice() else {
        panic!("{:?}", settings.warnings)
    };
    assert!(warning.starts_with("kubernetes:label:none: "), "{warning}");
    let alone = load("\"kubernetes:label:team\"");
    assert_eq!(alone.telemetry.process_tenant.as_deref(), Some("acme"));
}

#[test]
fn a_header_that_nobody_may_set_is_told_of() {
    let warned = |listen: &str, more: &str| {
        let file = format!(
            "allow_public = true\n[[hop]]\nname = \"n\"\nlisten = \"{listen}\"\nupstream = \"http://x\"\n{more}"
        );
        let warnings = World::new(&file, &[], &[]).load(Mode::Http).warnings;
        warnings
            .iter()
            .any(|warning| warning.contains("hop n: the tenant in a header"))
    };
    let header = "tenant_from = \"header:x\"";
    assert!(warned("0.0.0.0:1", header));
    assert!(!warned("127.0.0.1:1", header));
    assert!(!warned("0.0.0.0:1", "tenant_from = \"baggage:x\""));
    let named = format!("{header}\ntrusted_proxies = [\"10.0.0.0/8\"]");
    assert!(!warned("0.0.0.0:1", &named));
    assert!(warned("127.0.0.1:1", &named) && warned("[::1]:1", &named));
    assert!(!warned("unix:/run/hop", &named));
    for here in ["127.0.0.1", "127.0.0.0/8", "::1"] {
        let named = format!("{header}\ntrusted_proxies = [\"10.0.0.0/8\", \"{here}\"]");
        assert!(!warned("127.0.0.1:1", &named), "{here}");
    }
    assert!(!warned(
        "127.0.0.1:1",
        "tenant_from = \"baggage:x\"\ntrusted_proxies = []"
    ));
}

#[test]
fn a_certificate_that_nobody_is_asked_for_is_told_of() {
    let warned = |more: &str| {
        let hop = "[[hop]]\nlisten = \"127.0.0.1:1\"\nupstream = \"http://x\"\ntenant_from = \"certificate:dns:{tenant}.x\"\n";
        let warnings = World::new(&format!("{hop}{more}"), &[], &[])
            .load(Mode::Http)
            .warnings;
        warnings
            .iter()
            .any(|warning| warning.contains("no client shows a certificate"))
    };
    let tls = "tls_cert = \"c\"\ntls_key = \"k\"\n";
    assert!(warned("") && warned(tls));
    assert!(!warned(&format!("{tls}tls_client_ca = \"a\"")));
}

#[test]
fn what_a_source_at_the_top_needs_may_stand_in_the_hops() {
    let hop = "[[hop]]\nlisten = \"127.0.0.1:1\"\nupstream = \"http://x\"\n";
    let file = format!("tenant_from = [\"jwt:t\"]\n{hop}");
    let whole = format!("{file}jwt_keys_file = \"k\"\n");
    for mode in [Mode::Http, Mode::Check] {
        let settings = World::new(&whole, &[], &[]).load(mode);
        assert_eq!(settings.hops[0].common.tenant.sources.len(), 1);
        let error = World::new(&file, &[], &[]).error(mode);
        assert!(error.contains("jwt:CLAIM needs jwt_keys_file"), "{error}");
    }
    let error = World::new(&whole, &[], &[]).error(Mode::Stdio);
    assert!(error.contains("jwt:CLAIM needs jwt_keys_file"), "{error}");
}

#[test]
fn a_syntax_error_names_the_line_and_quotes_no_secret() {
    let error = World::new(
        "side = \"server\"\notlp_headers = authorization=hunter2",
        &[],
        &[],
    );
    let error = error.error(Mode::Stdio);
    assert!(error.starts_with("FILE: line 2: "), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

const TWO_HOPS: &str = "
tenant = \"top\"
service_name = \"shop\"
[[hop]]
name = \"one\"
listen = \"127.0.0.1:8080\"
upstream = \"http://localhost:3000\"
[[hop]]
listen = \"[::1]:8081\"
upstream = \"http://[::1]\"
tenant_from = \"baggage:tenant.id\"
service_name = \"billing\"
span_pair = true
";

#[test]
fn hops_of_a_file_take_its_top_as_defaults() {
    let settings = World::new(TWO_HOPS, &[], &[]).load(Mode::Http);
    let [one, two] = settings.hops.as_slice() else {
        panic!("two hops");
    };
    assert_eq!(one.name, "one");
    assert_eq!(one.common.tenant, TenantRule::fixed("top"));
    assert_eq!(one.common.resource.service_name, None);
    let at = |hop: &HopSettings| {
        let endpoint = &upstream(hop).endpoint;
        (endpoint.host().to_owned(), endpoint.port())
    };
    assert_eq!(at(one), ("localhost".to_owned(), Some(3000)));
    assert_eq!(upstream(one).authority, "localhost:3000");
    assert_eq!(two.name, "[::1]:8081");
    assert_eq!(two.common.tenant.baggage, ["tenant.id".into()]);
    assert_eq!(two.common.resource.service_name.as_deref(), Some("billing"));
    assert!(two.common.span_pair);
    assert_eq!(at(two), ("::1".to_owned(), Some(80)));
    assert_eq!(settings.telemetry.service_name.as_deref(), Some("shop"));
    assert_eq!(settings.telemetry.process_tenant, None);
}

#[test]
fn flags_describe_one_hop_and_no_more() {
    let flags = [
        ("listen", "127.0.0.1:0"),
        ("upstream", "http://localhost:1"),
        ("tenant", "a"),
    ];
    let alone = World::new("span_pair = true", &[], &flags).load(Mode::Http);
    assert_eq!(alone.hops.len(), 1);
    assert_eq!(alone.hops[0].common.tenant, TenantRule::fixed("a"));
    assert!(alone.hops[0].common.span_pair);
    assert_eq!(alone.telemetry.process_tenant.as_deref(), Some("a"));
    let error = World::new(TWO_HOPS, &[], &[("tenant", "a")]).error(Mode::Http);
    assert_eq!(
        error,
        "--tenant describes one hop, but the file has 2: set it there"
    );
    // The service's name in the environment is that of the process.
    let named = World::new(TWO_HOPS, &[("OTEL_SERVICE_NAME", "env")], &[]).load(Mode::Http);
    assert_eq!(named.telemetry.service_name.as_deref(), Some("env"));
    assert_eq!(named.hops[0].common.resource.service_name, None);
}

#[test]
fn a_hop_needs_both_its_ends() {
    let of = |flags: &[(&str, &str)]| World::new("", &[], flags).error(Mode::Http);
    assert!(of(&[]).starts_with("nothing to listen on"));
    assert!(
        of(&[("listen", "127.0.0.1:0")])
            .contains("upstream (--upstream) or command (-- COMMAND) is missing")
    );
    assert!(of(&[("upstream", "http://x:1")]).contains("listen (--listen) is missing"));
}

#[test]
fn listening_for_other_machines_needs_to_be_meant() {
    let flags = [("listen", "0.0.0.0:8080"), ("upstream", "http://x:1")];
    let refused = World::new("", &[], &flags).error(Mode::Http);
    assert!(
        refused.starts_with("--listen: 0.0.0.0:8080 can be reached"),
        "{refused}"
    );
    let meant = World::new("allow_public = true", &[], &flags).load(Mode::Http);
    assert_eq!(meant.hops[0].listen.to_string(), "0.0.0.0:8080");
    let local = [("listen", "localhost:8080"), ("upstream", "http://x:1")];
    let local = World::new("", &[], &local).load(Mode::Http);
    assert_eq!(local.hops[0].listen.to_string(), "127.0.0.1:8080");
}

#[test]
fn an_upstream_is_a_plain_origin() {
    for (url, problem) in [
        ("http://x:1/mcp?a=1", "no query"),
        ("http://me:secret@x:1", "no"),
        ("x:1", "must be http://HOST:PORT"),
        ("", "must be http://HOST:PORT"),
    ] {
        let flags = [("listen", "127.0.0.1:0"), ("upstream", url)];
        let error = World::new("", &[], &flags).error(Mode::Http);
        assert!(error.contains(problem), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn two_hops_cannot_share_an_address_or_a_name() {
    let hop = "[[hop]]\nlisten = \"127.0.0.1:80\"\nupstream = \"http://x:1\"\n";
    let error = World::new(&hop.repeat(2), &[], &[]).error(Mode::Check);
    assert!(
        error.contains("same name or the same listen address"),
        "{error}"
    );
    let free = hop.replace(":80\"", ":0\"").repeat(2);
    assert_eq!(World::new(&free, &[], &[]).load(Mode::Check).hops.len(), 2);
}

#[test]
fn standard_variables_are_followed_signal_by_signal() {
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/base/"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://traces:1/exactly",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "500"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1500"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name = named"),
    ];
    let export = World::new("service_name = \"file\"", &env, &[])
        .load(Mode::Stdio)
        .telemetry;
    assert_eq!(export.traces.endpoint, "http://traces:1/exactly");
    assert_eq!(export.metrics.endpoint, "http://all:4318/base/v1/metrics");
    assert_eq!(export.traces.protocol, Protocol::HttpProtobuf);
    assert_eq!(export.traces.timeout, Duration::from_millis(2500));
    assert_eq!(export.metrics.timeout, Duration::from_millis(500));
    assert_eq!(export.metrics_interval, Duration::from_millis(1500));
    assert_eq!(export.service_name.as_deref(), Some("named"));
}

#[test]
fn http_without_an_endpoint_goes_to_its_own_port() {
    let flags = [("otlp_protocol", "http/protobuf")];
    let env = [("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")];
    let export = World::new("", &env, &flags).load(Mode::Stdio).telemetry;
    assert_eq!(export.traces.endpoint, "http://127.0.0.1:4318/v1/traces");
    assert_eq!(export.metrics.endpoint, "http://127.0.0.1:4318/v1/metrics");
}

#[test]
fn a_mistake_in_a_shared_variable_is_a_warning() {
    let env = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ];
    let settings = World::new("", &env, &[]).load(Mode::Stdio);
    assert!(settings.telemetry.enabled);
    assert_eq!(settings.telemetry.traces.protocol, Protocol::Grpc);
    assert!(
        settings
            .warnings
            .iter()
            .any(|text| text.contains("http/json"))
    );
    assert!(
        settings
            .warnings
            .iter()
            .any(|text| text.contains("OTEL_EXPORTER_OTLP_TIMEOUT"))
    );
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://x:1")];
    let settings = World::new("", &env, &[]).load(Mode::Stdio);
    assert!(!settings.telemetry.enabled);
    assert!(settings.warnings[0].contains("nothing is exported"));
}

#[test]
fn exporting_can_be_switched_off() {
    for off in [
        ("OTEL_SDK_DISABLED", "TRUE"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        assert!(
            !World::new("", &[off], &[])
                .load(Mode::Stdio)
                .telemetry
                .enabled
        );
    }
    let metrics = World::new("", &[("OTEL_METRICS_EXPORTER", "none")], &[]).load(Mode::Stdio);
    assert!(metrics.telemetry.enabled && !metrics.telemetry.metrics.enabled);
    let disabled = World::new("", &[("TOOLSPAN_DISABLED", "1")], &[]).load(Mode::Stdio);
    assert!(disabled.disabled);
}

#[test]
fn secrets_are_never_shown() {
    let world = World::new(
        "otlp_headers = \"authorization=Bearer hunter2, x=y\"",
        &[],
        &[],
    );
    let settings = world.load(Mode::Stdio);
    assert_eq!(settings.telemetry.headers[0].1.reveal(), "Bearer hunter2");
    assert!(!format!("{settings:?}").contains("hunter2"));
    let printed = world.with(print).unwrap();
    assert!(printed.contains("***") && !printed.contains("hunter2"));
}

#[test]
fn what_is_printed_is_a_file_with_the_same_meaning() {
    let env = [("TOOLSPAN_MAX_OPEN_CALLS", "5")];
    let world = World::new(TWO_HOPS, &env, &[]);
    let printed = world.with(print).unwrap();
    let again = World::new(&printed, &[], &[]).load(Mode::Http);
    let first = world.load(Mode::Http);
    assert_eq!(again.hops, first.hops);
    assert_eq!(again.limits, first.limits);
    assert_eq!(again.telemetry.traces, first.telemetry.traces);
    for option in OPTIONS {
        assert!(printed.contains(&format!("\n# {}: {}\n", option.key, option.doc)));
    }
}

#[test]
fn every_default_can_be_read() {
    for option in OPTIONS {
        let Some(default) = option.default else {
            continue;
        };
        let mut file = format!("{} = {default}", option.key);
        if option.scope == Scope::Listener {
            file = format!("[[hop]]\nlisten = \"127.0.0.1:1\"\nupstream = \"http://x:1\"\n{file}");
        }
        World::new(&file, &[], &[]).load(Mode::Check);
    }
}

#[test]
fn attributes_of_a_resource_are_pairs_and_hops_have_their_own() {
    let file = "
resource_attributes = \"deployment.environment=test\"
[[hop]]
listen = \"127.0.0.1:1\"
upstream = \"http://a:1\"
inject = false
[[hop]]
listen = \"127.0.0.1:2\"
upstream = \"http://b:1\"
resource_attributes = \"k8s.pod.name = a%2Cb , x=\"
";
    let settings = World::new(file, &[], &[]).load(Mode::Http);
    let of = |index: usize| {
        let common = &settings.hops[index].common;
        let pairs = common.resource.attributes.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
        (common.inject, pairs.collect::<Vec<_>>())
    };
    assert_eq!(
        of(0),
        (false, vec!["deployment.environment=test".to_owned()])
    );
    assert_eq!(
        of(1),
        (true, vec!["k8s.pod.name=a,b".to_owned(), "x=".to_owned()])
    );
    for (wrong, problem) in [
        ("a", "must be name=value,name=value"),
        ("=b", "must be name=value,name=value"),
        (
            "service.name=x",
            "cannot hold service.name: it has a setting of its own, or is given by the process",
        ),
    ] {
        let file = format!("resource_attributes = {wrong:?}");
        let error = World::new(&file, &[], &[]).error(Mode::Stdio);
        assert_eq!(error, format!("FILE: `resource_attributes`: {problem}"));
    }
}

#[test]
fn the_admin_listener_is_none_by_default_and_loopback_by_default() {
    let hop = "[[hop]]\nlisten = \"127.0.0.1:1\"\nupstream = \"http://a:1\"\n";
    let settings = World::new(hop, &[], &[]).load(Mode::Http);
    assert_eq!(settings.admin, None);
    assert_eq!(settings.drain, Duration::from_secs(25));
    let admin = [("TOOLSPAN_ADMIN", "127.0.0.1:9")];
    let settings = World::new(hop, &admin, &[]).load(Mode::Http);
    let admin = settings.admin.map(|address| address.to_string());
    assert_eq!(admin.as_deref(), Some("127.0.0.1:9"));
    let public = [("TOOLSPAN_ADMIN", "0.0.0.0:9")];
    assert_eq!(World::new("", &public, &[]).load(Mode::Stdio).admin, None);
    let error = World::new(hop, &public, &[]).error(Mode::Http);
    assert!(
        error.starts_with("TOOLSPAN_ADMIN: 0.0.0.0:9 can be reached"),
        "{error}"
    );
}

#[test]
fn a_reload_names_hops_anew_only_where_the_name_differs() {
    let hop = |upstream: &str| {
        let file =
            format!("[[hop]]\nlisten = \"127.0.0.1:1\"\nupstream = \"http://{upstream}:1\"\n");
        let mut settings = World::new(&file, &[], &[]).load(Mode::Http);
        settings.name_after_upstreams();
        settings.name_hops_anew(Some("shop"));
        settings.hops[0].common.resource.service_name.clone()
    };
    assert_eq!(hop("shop"), None);
    assert_eq!(hop("billing").as_deref(), Some("billing"));
}

fn upstream(hop: &HopSettings) -> &Upstream {
    match &hop.server {
        Server::Upstream(upstream) => upstream,
        Server::Command(bridge) => panic!("a command: {bridge:?}"),
    }
}

#[test]
fn a_command_takes_the_place_of_an_upstream() {
    let file = "allowed_hosts = [\"MCP.example.com\"]\n[[hop]]\nlisten = \"127.0.0.1:80\"\n\
                command = [\"npx\", \"-y\", \"server\"]\nmcp_path = \"/tools\"\n";
    let settings = World::new(file, &[], &[]).load(Mode::Http);
    let Server::Command(bridge) = &settings.hops[0].server else {
        panic!("an upstream");
    };
    assert_eq!(bridge.command, ["npx", "-y", "server"]);
    assert_eq!(bridge.mcp_path, "/tools");
    assert_eq!(bridge.allowed_hosts, ["mcp.example.com"]);
    assert_eq!(bridge.max_sessions, 1000);
    let hop = "[[hop]]\nlisten = \"127.0.0.1:80\"\n";
    for (more, problem) in [
        ("command = []", "must name a program"),
        ("command = \"npx\"", "must be a list of strings"),
        (
            "command = [\"a\"]\nupstream = \"http://x:1\"",
            "cannot stand beside upstream",
        ),
        ("command = [\"a\"]\nmcp_path = \"mcp\"", "must be a path"),
        ("comand = [\"a\"]", "the nearest known one is `command`"),
    ] {
        let error = World::new(&format!("{hop}{more}\n"), &[], &[]).error(Mode::Http);
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn both_ends_of_a_hop_may_be_sockets_or_speak_tls() {
    let file = "
[[hop]]
listen = \"unix:/run/hop.sock\"
upstream = \"https://x\"
upstream_http = \"2\"
upstream_ca = \"ca.pem\"
[[hop]]
listen = \"127.0.0.1:1\"
tls_cert = \"c.pem\"
tls_key = \"k.pem\"
upstream = \"unix:/run/server.sock\"
";
    let settings = World::new(file, &[], &[]).load(Mode::Http);
    let [one, two] = settings.hops.as_slice() else {
        panic!("two hops");
    };
    let (first, second) = (upstream(one), upstream(two));
    assert_eq!(one.listen.to_string(), "unix:/run/hop.sock");
    assert_eq!(one.name, "unix:/run/hop.sock");
    assert_eq!(first.http, HttpChoice::Two);
    assert_eq!(first.endpoint.port(), Some(443));
    let tls = first.tls.as_ref().expect("TLS");
    assert_eq!(
        (tls.name.as_str(), tls.files.ca.as_deref()),
        ("x", Some("ca.pem".as_ref()))
    );
    assert_eq!(
        two.tls.as_ref().map(|tls| tls.key.as_path()),
        Some("k.pem".as_ref())
    );
    assert_eq!(second.endpoint, Endpoint::Unix("/run/server.sock".into()));
    assert_eq!(
        (second.authority.as_str(), &second.tls),
        ("localhost", &None)
    );
}

#[test]
fn half_of_a_pair_of_files_is_refused() {
    let of = |more: &str| {
        let file = format!("[[hop]]\nlisten = \"127.0.0.1:1\"\nupstream = \"http://x:1\"\n{more}");
        World::new(&file, &[], &[]).error(Mode::Check)
    };
    assert!(of("tls_cert = \"c\"").contains("`tls_cert`: needs tls_key beside it"));
    assert!(of("tls_client_ca = \"c\"").contains("needs tls_cert and tls_key"));
    assert!(of("upstream_ca = \"c\"").contains("needs an upstream of https://"));
    assert!(of("upstream_http = \"3\"").contains("must be auto or 1.1 or 2"));
    let file = "[[hop]]\nlisten = \"unix:run/s\"\nupstream = \"http://x:1\"";
    assert!(
        World::new(file, &[], &[])
            .error(Mode::Check)
            .contains("from the root")
    );
}
