use std::collections::BTreeSet;
use std::fs::File;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prost::Message;

use super::*;
use crate::otlp::Signal;
use crate::sample;

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

#[test]
fn a_block_is_one_file_per_tenant_and_a_replay_overwrites_it() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Parquet::open(folder.path()).unwrap();
    let block = sample::story_block();
    assert_eq!(sink.store(&block).unwrap(), Written { rows: 10 });
    let first = files(folder.path());
    let names: Vec<String> = first
        .iter()
        .map(|path| {
            path.strip_prefix(folder.path())
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    let name = "date=2026-11-20/hour=10/0123456789abcdef0123456789abcdef-00000000000000000001-00000000000000000004-traces.parquet";
    assert_eq!(
        names,
        ["acme", "globex", "unknown"]
            .map(|tenant| format!("parquet/signal=traces/tenant={tenant}/{name}"))
    );
    let bytes: Vec<_> = first
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    sink.store(&block).unwrap();
    assert_eq!(files(folder.path()), first);
    let again: Vec<_> = first
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(bytes == again, "the same block gives the same bytes");
}

#[test]
fn a_file_says_what_it_is_and_is_in_order_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Parquet::open(folder.path()).unwrap();
    sink.store(&sample::story_block()).unwrap();
    let path = files(folder.path()).into_iter().next().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let notes = reader
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap()
        .clone();
    let note = |key: &str| {
        let note = notes
            .iter()
            .find(|note| note.key == format!("toolspan.{key}"));
        note.and_then(|note| note.value.clone()).unwrap()
    };
    assert_eq!(note("schema_version"), "1");
    assert_eq!(note("tenant"), "acme");
    assert_eq!(
        (note("log_first"), note("log_last"), note("rows")),
        ("1".into(), "4".into(), "5".into())
    );
    let types = reader
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().clone());
    let read = crate::schema::Table::of(Signal::Traces).read();
    let expected = read.fields().iter().map(|field| field.data_type().clone());
    assert!(types.eq(expected), "a reader sees the declared types");
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    let times = batch.column_by_name("Timestamp").unwrap();
    let times =
        arrow::array::AsArray::as_primitive::<arrow::datatypes::TimestampNanosecondType>(times);
    assert!(times.values().is_sorted());
}

#[test]
fn hostile_tenants_stay_in_the_store_and_come_back() {
    let long = "ü".repeat(64);
    let slashes = "/".repeat(128);
    let tenants = [
        "../../etc",
        "a/b",
        "..",
        "%2e",
        "x=y",
        "東京 \"'`",
        "~x",
        &long,
        &slashes,
    ];
    for tenant in tenants {
        let name = tenant_folder(tenant);
        assert!(name.len() <= 255 && !name.contains('/'), "{name}");
        assert_eq!(tenant_of(&name).as_deref(), Some(tenant), "{name}");
    }
    let unique: BTreeSet<_> = tenants.map(tenant_folder).into_iter().collect();
    assert_eq!(unique.len(), tenants.len());

    let folder = tempfile::tempdir().unwrap();
    let sink = Parquet::open(folder.path()).unwrap();
    let spans = tenants.map(|tenant| sample::call(1, 1, tenant, "t", "ok", 0));
    let body = sample::traces("s", spans.to_vec()).encode_to_vec();
    sink.store(&sample::block(Signal::Traces, &[body])).unwrap();
    assert_eq!(
        files(&folder.path().join("parquet/signal=traces")).len(),
        tenants.len()
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn hours_of_receipt_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Parquet::open(folder.path()).unwrap();
    let mut block = sample::story_block();
    block.entries[3].received_at_unix_nanos += 14 * 3_600_000_000_000;
    sink.store(&block).unwrap();
    let acme = folder.path().join("parquet/signal=traces/tenant=acme");
    assert!(acme.join("date=2026-11-20/hour=10").is_dir());
    assert!(acme.join("date=2026-11-21/hour=00").is_dir());
}

#[test]
fn what_a_crash_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    Parquet::open(folder.path()).unwrap();
    let hour = folder
        .path()
        .join("parquet/signal=traces/tenant=a/date=2026-11-20/hour=00");
    std::fs::create_dir_all(&hour).unwrap();
    std::fs::write(hour.join(".tmp-x.parquet"), b"half").unwrap();
    Parquet::open(folder.path()).unwrap();
    assert!(files(folder.path()).is_empty());
}

#[test]
fn what_the_disk_says_is_tried_again_and_rows_that_do_not_fit_are_set_aside() {
    use parquet::errors::ParquetError as Inner;
    let sunk = |source| {
        SinkError::from(ParquetError::Format {
            path: "x".into(),
            source,
        })
    };
    let full = io::Error::from(io::ErrorKind::StorageFull);
    assert!(matches!(sunk(Inner::from(full)), SinkError::Retry { .. }));
    let rows = Inner::ArrowError("a column too long".into());
    assert!(matches!(sunk(rows), SinkError::Poison { .. }));
    let other = Inner::External("not of the disk".into());
    assert!(matches!(sunk(other), SinkError::Poison { .. }));
}
