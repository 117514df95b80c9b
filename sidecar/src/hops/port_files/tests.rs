use super::*;

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the scratch folder");
    let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().expect("text"))
        .collect();
    names.sort();
    names
}

fn address(port: u16) -> Address {
    Address::Tcp(([127, 0, 0, 1], port).into())
}

#[test]
fn each_is_there_in_full_once_all_are_written() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut files = PortFiles::default();
    // The same but for what follows the dot.
    for (name, port) in [("hop.one", 1), ("hop.two", 2), ("hop.one", 3)] {
        let file = folder.path().join(name);
        files.add(&file, &address(port)).expect("a scratch file");
        assert!(!file.exists(), "others may still fail");
    }
    files.publish().expect("a place");
    assert_eq!(names(folder.path()), ["hop.one", "hop.two"]);
    let text = |name| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    assert_eq!(text("hop.one"), "127.0.0.1:3\n");
    assert_eq!(text("hop.two"), "127.0.0.1:2\n");
}

#[test]
fn where_one_cannot_be_written_none_is() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let fits = folder.path().join("fits");
    for wrong in [folder.path().join("no/folder"), folder.path().to_owned()] {
        let mut files = PortFiles::default();
        files.add(&fits, &address(1)).expect("a scratch file");
        let error = files.add(&wrong, &address(2)).expect_err("no place");
        assert!(error.to_string().contains(wrong.to_str().expect("text")));
        drop(files);
        assert!(names(folder.path()).is_empty());
    }
}
