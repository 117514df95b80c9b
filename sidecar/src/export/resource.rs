//! Takes what a hop says of itself. Gives the resource that all its spans and points are sent under.
//! `OTEL_RESOURCE_ATTRIBUTES` is read by the SDK's own detectors.
//! Never differs between two exports of one process, except by what their hops say.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use crate::record::{HopResource, names};

/// The name where nobody gave one.
const DEFAULT_SERVICE: &str = "toolspan";

/// Builds resources that share one random `service.instance.id`.
#[derive(Debug, Clone)]
pub(super) struct Resources {
    service_name: String,
    instance: String,
}

impl Resources {
    pub(super) fn new(service_name: Option<String>) -> Self {
        Self {
            service_name: service_name.unwrap_or_else(|| DEFAULT_SERVICE.to_owned()),
            instance: random_instance(),
        }
    }

    /// The resource of a hop; the one that says nothing has that of the whole process.
    pub(super) fn of(&self, hop: &HopResource) -> Resource {
        let name = hop.service_name.as_deref().unwrap_or(&self.service_name);
        let attributes = hop.attributes.iter();
        let mut builder = Resource::builder();
        let detected = Resource::builder().build();
        if detected.get(&names::SERVICE_INSTANCE_ID.into()).is_none() {
            let id = KeyValue::new(names::SERVICE_INSTANCE_ID, self.instance.clone());
            builder = builder.with_attribute(id);
        }
        builder
            .with_attributes(
                attributes.map(|(name, value)| KeyValue::new(name.to_string(), value.to_string())),
            )
            .with_service_name(name.to_owned())
            .build()
    }
}

/// A random UUID, version 4. It tells processes apart and protects nothing.
fn random_instance() -> String {
    let bits = fastrand::u128(..);
    let bits = bits & !(0xf << 76) | (0x4 << 76);
    let bits = bits & !(0x3 << 62) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_uuid_of_version_4() {
        let id = random_instance();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
        assert_ne!(id, random_instance());
    }

    #[test]
    fn a_hops_own_name_wins_and_the_rest_is_equal() {
        let resources = Resources::new(Some("shop".into()));
        let own = HopResource {
            service_name: Some("billing".into()),
            attributes: Box::new([("k8s.pod.name".into(), "a".into())]),
        };
        let (process, hop) = (resources.of(&HopResource::default()), resources.of(&own));
        let get = |resource: &Resource, key| resource.get(&key).map(|value| value.to_string());
        let name = opentelemetry::Key::from_static_str(names::SERVICE_NAME);
        let instance = opentelemetry::Key::from_static_str(names::SERVICE_INSTANCE_ID);
        assert_eq!(get(&process, name.clone()).as_deref(), Some("shop"));
        assert_eq!(get(&hop, name).as_deref(), Some("billing"));
        assert_eq!(get(&process, instance.clone()), get(&hop, instance));
        let pod = opentelemetry::Key::from_static_str("k8s.pod.name");
        assert_eq!(get(&process, pod.clone()), None);
        assert_eq!(get(&hop, pod).as_deref(), Some("a"));
    }
}
