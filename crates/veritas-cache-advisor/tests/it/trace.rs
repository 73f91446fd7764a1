//! Traces from files: formats by name, what is no trace, and hostile bytes.

use std::path::Path;

use proptest::prelude::*;
use veritas_cache_advisor::trace::{Format, TraceError, open, read};

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).expect("a file in it");
    (directory, path)
}

#[test]
fn the_name_tells_the_format() {
    for (name, format) in [
        ("a.csv", Some(Format::Csv)),
        ("a.CSV", Some(Format::Csv)),
        ("a.oracleGeneral", Some(Format::OracleGeneral)),
        ("a.oracleGeneral.bin", Some(Format::OracleGeneral)),
        ("a.parquet", None),
        ("a", None),
    ] {
        assert_eq!(Format::of(Path::new(name)), format, "{name}");
    }
}

#[test]
fn a_file_is_read_to_its_end() {
    let (_directory, path) = file("a.csv", b"time,key\n0,a\n1,b\n2,a\n");
    let mut trace = open(&path).unwrap();
    assert_eq!(trace.length(), Some(21));
    assert_eq!(trace.by_ref().map(Result::unwrap).count(), 3);
    assert_eq!(trace.offset(), 21);
}

#[test]
fn what_is_no_trace_is_said_so() {
    assert!(matches!(open(Path::new("/nowhere/a.csv")), Err(TraceError::Open { .. })));
    assert!(matches!(open(Path::new("a.xyz")), Err(TraceError::UnknownFormat { .. })));
    let (_directory, path) = file("a.bin", &[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]);
    assert!(matches!(open(&path), Err(TraceError::Compressed)));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic_or_go_on_for_ever(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        for format in [Format::Csv, Format::OracleGeneral] {
            let count = read(std::io::Cursor::new(bytes.clone()), format).count();
            prop_assert!(count <= bytes.len() + 1);
        }
    }
}
