//! Takes what Kubernetes tells a pod of itself. Gives its namespace, and its labels.
//! Never asks the cluster: the downward API has put it into variables and files.

use std::fs::read_to_string;
use std::path::Path;

/// Where each pod with a service account finds its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The namespace that was given, else that of the service account.
pub(super) fn namespace(given: Option<String>) -> Result<String, String> {
    match given {
        Some(namespace) => Ok(namespace),
        None => read(NAMESPACE_FILE.as_ref()),
    }
}

/// The value of a label in a file of the downward API.
pub(super) fn label(file: &Path, key: &str) -> Result<String, String> {
    let text = read(file)?;
    let value = text.lines().find_map(|line| labelled(line, key));
    value.ok_or_else(|| format!("{} has no label {key}", file.display()))
}

fn read(file: &Path) -> Result<String, String> {
    let text = read_to_string(file);
    let text = text.map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(text.trim().to_owned())
}

/// `key="value"`: a label's value has nothing that would be escaped.
fn labelled(line: &str, key: &str) -> Option<String> {
    let value = line.trim().strip_prefix(key)?.strip_prefix("=\"")?;
    let value = value.strip_suffix('"')?;
    (!value.contains(['"', '\\'])).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_by_its_whole_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("labels");
        let text = "app=\"shop\"\nexample.com/team=\"acme\"\nteam=\"globex\"\nodd=\"a\\\"b\"\n";
        std::fs::write(&file, text).unwrap();
        assert_eq!(label(&file, "team").unwrap(), "globex");
        assert_eq!(label(&file, "example.com/team").unwrap(), "acme");
        for key in ["tea", "example.com", "odd", "none"] {
            let problem = label(&file, key).unwrap_err();
            assert!(
                problem.ends_with(&format!("has no label {key}")),
                "{problem}"
            );
        }
        let problem = label(&folder.path().join("none"), "team").unwrap_err();
        assert!(problem.starts_with("cannot read"), "{problem}");
        assert_eq!(namespace(Some("prod".to_owned())).unwrap(), "prod");
    }
}
