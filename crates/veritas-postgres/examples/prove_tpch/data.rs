//! TPC-H in a server of our own: generated, loaded, with the texts of its statements.
//!
//! `cargo xtask prove tpch` installs the generator and the texts (as pinned in
//! `tools/requirements-tpch.txt`) for the workspace's own Python.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use veritas_testkit::{Database, Postgres};

/// Settings of the server: everything fits in memory, nothing runs beside.
const SETTINGS: &str = "
shared_buffers = 1GB
work_mem = 32MB
maintenance_work_mem = 512MB
jit = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 2GB
";

/// The tables, with text in place of varchar, without keys: as the reference evaluation
/// of index selection has them.
const SCHEMA: &str = "
CREATE TABLE customer(c_custkey bigint NOT NULL, c_name text NOT NULL, c_address text NOT NULL,
  c_nationkey integer NOT NULL, c_phone text NOT NULL, c_acctbal decimal(15,2) NOT NULL,
  c_mktsegment text NOT NULL, c_comment text NOT NULL);
CREATE TABLE lineitem(l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL,
  l_linenumber bigint NOT NULL, l_quantity decimal(15,2) NOT NULL, l_extendedprice decimal(15,2) NOT NULL,
  l_discount decimal(15,2) NOT NULL, l_tax decimal(15,2) NOT NULL, l_returnflag text NOT NULL,
  l_linestatus text NOT NULL, l_shipdate date NOT NULL, l_commitdate date NOT NULL,
  l_receiptdate date NOT NULL, l_shipinstruct text NOT NULL, l_shipmode text NOT NULL,
  l_comment text NOT NULL);
CREATE TABLE nation(n_nationkey integer NOT NULL, n_name text NOT NULL, n_regionkey integer NOT NULL,
  n_comment text NOT NULL);
CREATE TABLE orders(o_orderkey bigint NOT NULL, o_custkey bigint NOT NULL, o_orderstatus text NOT NULL,
  o_totalprice decimal(15,2) NOT NULL, o_orderdate date NOT NULL, o_orderpriority text NOT NULL,
  o_clerk text NOT NULL, o_shippriority integer NOT NULL, o_comment text NOT NULL);
CREATE TABLE part(p_partkey bigint NOT NULL, p_name text NOT NULL, p_mfgr text NOT NULL,
  p_brand text NOT NULL, p_type text NOT NULL, p_size integer NOT NULL, p_container text NOT NULL,
  p_retailprice decimal(15,2) NOT NULL, p_comment text NOT NULL);
CREATE TABLE partsupp(ps_partkey bigint NOT NULL, ps_suppkey bigint NOT NULL, ps_availqty bigint NOT NULL,
  ps_supplycost decimal(15,2) NOT NULL, ps_comment text NOT NULL);
CREATE TABLE region(r_regionkey integer NOT NULL, r_name text NOT NULL, r_comment text NOT NULL);
CREATE TABLE supplier(s_suppkey bigint NOT NULL, s_name text NOT NULL, s_address text NOT NULL,
  s_nationkey integer NOT NULL, s_phone text NOT NULL, s_acctbal decimal(15,2) NOT NULL,
  s_comment text NOT NULL);
CREATE EXTENSION hypopg;";

/// The tables of TPC-H.
pub(crate) const TABLES: [&str; 8] =
    ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

/// Writes the text of each statement to a folder.
const TEXTS: &str = "
import sys, pathlib, duckdb
from duckdb_extensions import import_extension
connection = duckdb.connect()
import_extension('tpch', con=connection)
connection.execute('LOAD tpch')
for number, text in connection.execute('SELECT query_nr, query FROM tpch_queries()').fetchall():
    pathlib.Path(sys.argv[1], f'{number}.sql').write_text(text)
";

/// Returns a program of the workspace's own Python.
fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin").join(name)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{} does not start ({error}); run `cargo xtask prove tpch`", command.get_program().display())
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A server with TPC-H in it, or one that has it already.
pub(crate) struct Tpch {
    pub(crate) url: String,
    /// Keeps the server running.
    _database: Option<Database>,
}

impl Tpch {
    /// Takes the database at `url`, which must hold TPC-H with `hypopg`; without one,
    /// generates and loads it with this scale factor (about 1.3 GB of disk at 1).
    pub(crate) fn open(url: Option<&str>, scale: &str) -> Self {
        if let Some(url) = url {
            return Self { url: url.to_owned(), _database: None };
        }
        let database = Postgres::start_alone(SETTINGS).database();
        database.psql(SCHEMA);
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        run(Command::new(program("tpcgen-cli"))
            .args(["tpch", "-s", scale])
            .arg("--output-dir")
            .arg(folder.path()));
        for table in TABLES {
            // Each line of the generator ends with a separator too many.
            let file = folder.path().join(format!("{table}.tbl"));
            let shown = file.display();
            database.psql(&format!(
                "\\copy {table} FROM PROGRAM 'sed \"s/|$//\" {shown}' (DELIMITER '|', NULL '')"
            ));
            std::fs::remove_file(&file).expect("it was just read");
        }
        database.psql("VACUUM ANALYZE");
        Self { url: database.url(), _database: Some(database) }
    }
}

/// Returns the statements by their number, but for those left out.
pub(crate) fn statements(without: &[u32]) -> Vec<(u32, String)> {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    run(Command::new(program("python")).args(["-c", TEXTS]).arg(folder.path()));
    let numbers = (1..=22).filter(|number| !without.contains(number));
    let read = |number: u32| std::fs::read_to_string(folder.path().join(format!("{number}.sql")));
    numbers.map(|number| (number, read(number).expect("every statement has a text"))).collect()
}
