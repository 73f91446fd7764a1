//! What a fingerprint costs, cached and at first sight, beside a parser of SQL.
//! `cargo bench -p veritas-database --bench fingerprint`.

#[path = "recorder/measure.rs"]
mod measure;

use std::hint::black_box;

use measure::{SQL, measure, print};
use sqlparser::{dialect::PostgreSqlDialect, parser::Parser, tokenizer::Tokenizer};
use veritas_database::fingerprint::{NormalizedStatement, fingerprint, normalize};

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() {
    println!("statement of {} bytes", SQL.len());
    let cached = measure(2_000, || {
        black_box(fingerprint(black_box(SQL)));
    });
    print("fingerprint, cached", cached);
    let first = measure(200, || drop(black_box(NormalizedStatement::of(black_box(SQL)))));
    print("fingerprint, first sight", first);
    print("normalize only", measure(200, || drop(black_box(normalize(black_box(SQL))))));
    let tokenized = measure(20, || {
        drop(black_box(Tokenizer::new(&PostgreSqlDialect {}, black_box(SQL)).tokenize()));
    });
    print("sqlparser, tokenize only", tokenized);
    let parsed = measure(5, || drop(black_box(Parser::parse_sql(&PostgreSqlDialect {}, black_box(SQL)))));
    print("sqlparser, parse", parsed);
    println!(
        "ratios: parsing / first sight {:.1}, tokenizing / first sight {:.1}, first sight / cached {:.1}",
        parsed[0] / first[0],
        tokenized[0] / first[0],
        first[0] / cached[0],
    );

    let rows = |count: usize| {
        let row = "(1, 'a text of thirty characters..', 2.5, now())";
        format!("INSERT INTO t (a, b, c, d) VALUES {}", vec![row; count].join(", "))
    };
    for (count, calls) in [(20, 50), (1_000, 2)] {
        let sql = rows(count);
        let name = format!("fingerprint, first sight, {count} rows ({} bytes)", sql.len());
        print(&name, measure(calls, || drop(black_box(NormalizedStatement::of(black_box(&sql))))));
    }
}
