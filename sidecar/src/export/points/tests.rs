use opentelemetry_sdk::metrics::data::{AggregatedMetrics, HistogramDataPoint, MetricData};

use super::*;
use crate::record::span::tests::{call, hop};
use crate::record::{Outcome, Target};

fn points() -> Points {
    let resources = Resources::new(None);
    Points::new(resources, Temporality::Cumulative, &Arc::default(), None)
}

/// Every histogram point as `name: key=value ...`, with its count.
fn histograms(points: &Points) -> Vec<(String, u64)> {
    let mut lines = Vec::new();
    for meters in points.meters.values() {
        let Some(found) = meters.reader.collect() else {
            continue;
        };
        for metric in found.scope_metrics().flat_map(|scope| scope.metrics()) {
            let AggregatedMetrics::F64(MetricData::Histogram(histogram)) = metric.data() else {
                panic!("{} is no histogram", metric.name());
            };
            for point in histogram.data_points() {
                lines.push((
                    format!("{}:{}", metric.name(), labels(point)),
                    point.count(),
                ));
            }
        }
    }
    lines.sort();
    lines
}

fn labels(point: &HistogramDataPoint<f64>) -> String {
    let mut labels: Vec<_> = point
        .attributes()
        .map(|label| format!(" {}={}", label.key, label.value))
        .collect();
    labels.sort();
    labels.concat()
}

#[test]
fn a_call_is_one_point_of_its_side_with_the_conventions_attributes() {
    let mut points = points();
    points.add_call(&call("acme"));
    points.add_call(&call("acme"));
    let expected = "mcp.server.operation.duration: gen_ai.operation.name=execute_tool \
        gen_ai.tool.name=add mcp.method.name=tools/call mcp.protocol.version=2025-06-18 \
        network.protocol.name=http network.protocol.version=1.1 network.transport=tcp \
        tenant.id=acme toolspan.outcome=ok";
    assert_eq!(histograms(&points), [(expected.to_owned(), 2)]);
}

#[test]
fn a_pair_fills_both_histograms_and_judges_errors_by_side() {
    let mut points = points();
    let mut record = call("acme");
    record.hop = Arc::new(hop(Side::Server, true));
    record.outcome = Outcome::RpcError(-32602);
    points.add_call(&record);
    let lines = histograms(&points);
    let [(client, 1), (server, 1)] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert!(client.contains("error.type=-32602") && client.contains("server.port=3000"));
    assert!(!server.contains("error.type") && !server.contains("server.port"));
    assert!(server.contains("rpc.response.status_code=-32602"));
}

#[test]
fn bounds_are_those_of_the_conventions() {
    let mut points = points();
    points.add_call(&call("acme"));
    let meters = points.meters.values().next().unwrap();
    let found = meters.reader.collect().unwrap();
    let metric = found
        .scope_metrics()
        .flat_map(|scope| scope.metrics())
        .next()
        .unwrap();
    let AggregatedMetrics::F64(MetricData::Histogram(histogram)) = metric.data() else {
        panic!("no histogram");
    };
    let point = histogram.data_points().next().unwrap();
    let bounds: Vec<_> = point.bounds().collect();
    assert_eq!(bounds, names::DURATION_BOUNDS);
    // 25 ms lie above 0.02 and not above 0.05.
    assert_eq!(point.bucket_counts().nth(2), Some(1));
    assert_eq!(metric.unit(), "s");
}

#[test]
fn a_listener_is_no_operation() {
    let mut points = points();
    let mut record = call("acme");
    record.method = names::SUBSCRIPTIONS_LISTEN.into();
    points.add_call(&record);
    assert!(histograms(&points).is_empty());
}

#[test]
fn unknown_methods_share_a_point() {
    let mut points = points();
    for number in 0..100 {
        let mut record = call("acme");
        record.method = format!("made/up{number}").into();
        record.target = None;
        record.protocol_version = Some(format!("version {number}").into());
        points.add_call(&record);
    }
    let lines = histograms(&points);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].0.contains("mcp.method.name=_OTHER"));
}

#[test]
fn tools_beyond_the_cap_are_summed() {
    let mut points = points();
    for number in 0..MAX_POINTS + 50 {
        let mut record = call("acme");
        record.target = Some(Target::Tool(number.to_string().into()));
        points.add_call(&record);
    }
    let lines = histograms(&points);
    assert!(lines.len() <= MAX_POINTS + 2, "{}", lines.len());
    let summed = format!("{}=true", names::OTEL_METRIC_OVERFLOW);
    assert!(lines.iter().any(|(line, _)| line.contains(&summed)));
    let calls: u64 = lines.iter().map(|(_, count)| count).sum();
    assert_eq!(calls, MAX_POINTS as u64 + 50);
}

#[test]
fn the_table_of_names_says_the_caps_as_they_are() {
    for (name, cap) in [
        (names::OVERFLOW, MAX_TENANTS),
        (names::OTEL_METRIC_OVERFLOW, MAX_POINTS),
    ] {
        let mut rows = names::ATTRIBUTES.iter();
        let row = rows.find(|row| row.name == name).unwrap();
        assert!(row.when.contains(&format!(" {cap} ")), "{}", row.when);
    }
}

#[test]
fn tenants_beyond_the_cap_share_one() {
    let mut points = points();
    for number in 0..MAX_TENANTS + 10 {
        points.add_call(&call(&format!("tenant-{number}")));
    }
    assert_eq!(points.meters.len(), MAX_TENANTS + 1);
    let lines = histograms(&points);
    let shared: Vec<_> = lines
        .iter()
        .filter(|(line, _)| line.contains("tenant.id=overflow"))
        .collect();
    assert_eq!(shared.len(), 1);
    assert_eq!(shared[0].1, 10);
    assert!(shared[0].0.contains("toolspan.overflow=true"));
}

#[test]
fn the_process_counts_carry_its_tenant_where_it_has_one() {
    let counters = Arc::new(Counters::default());
    Counters::add(&counters.calls_seen, 7);
    let resources = Resources::new(None);
    let tenant = Some("acme".into());
    let points = Points::new(resources, Temporality::Cumulative, &counters, tenant);
    let found = points.process.reader.collect().unwrap();
    let metrics: Vec<_> = found
        .scope_metrics()
        .flat_map(|scope| scope.metrics())
        .collect();
    let seen = metrics
        .iter()
        .find(|m| m.name() == names::CALLS_SEEN.name)
        .unwrap();
    let AggregatedMetrics::U64(MetricData::Sum(sum)) = seen.data() else {
        panic!("no sum");
    };
    assert!(sum.is_monotonic());
    let point = sum.data_points().next().unwrap();
    assert_eq!(point.value(), 7);
    assert_eq!(point.attributes().next().unwrap().value.to_string(), "acme");
}

#[test]
fn counts_of_hops_that_changed_their_tenant_are_nobodys() {
    let counters = Arc::new(Counters::default());
    let tenant = Some(Arc::from("acme"));
    let resources = Resources::new(None);
    let points = Points::new(resources, Temporality::Cumulative, &counters, tenant);
    let tenants = || {
        let found = points.process.reader.collect().unwrap();
        let text = format!("{found:?}");
        text.contains("acme")
    };
    assert!(tenants());
    counters
        .mixed_tenants
        .store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(!tenants());
}

#[test]
fn resources_that_change_with_every_reload_do_not_grow_without_bound() {
    let mut points = points();
    for number in 0..2 * MAX_METERS {
        let mut record = call("acme");
        Arc::make_mut(&mut record.hop).resource = Arc::new(HopResource {
            service_name: Some(format!("s{number}").into()),
            ..HopResource::default()
        });
        points.add_call(&record);
    }
    assert!(points.meters.len() <= MAX_METERS + 1);
    let calls: u64 = histograms(&points).iter().map(|(_, count)| count).sum();
    assert_eq!(calls, 2 * MAX_METERS as u64);
}
