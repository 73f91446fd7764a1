//! Kinds of writes: new rows, counters, changes of indexed columns, rows that go.

use super::{
    Draw::{Below, Code, From, Skewed},
    Kind,
};

pub(super) const WRITES: &[Kind] = &[
    Kind {
        name: "insert",
        sql: "INSERT INTO {t} (u, d, z, c, at, state, code, mail, amount, other_id, hot, filler) \
              VALUES ($1, $1 / 10, $2, $3, $4, 'held', $5, $5, $6, 1, 0, 'new')",
        draws: |shape| {
            let newest = 1_600_000_000 + shape.rows * 7;
            vec![
                Below(shape.uniform),
                Skewed(shape.skewed),
                Below(shape.rows / shape.run),
                From(newest, 1_000_000),
                Code(shape.rows),
                Below(100_000),
            ]
        },
    },
    Kind {
        name: "count_up",
        sql: "UPDATE {t} SET hot = hot + 1 WHERE id = $1",
        draws: |shape| vec![From(1, shape.rows)],
    },
    Kind {
        name: "finish",
        sql: "UPDATE {t} SET state = 'done', at = at + 1 WHERE id = $1",
        draws: |shape| vec![From(1, shape.rows)],
    },
    Kind {
        name: "move",
        sql: "UPDATE {t} SET amount = $2 WHERE id = $1",
        draws: |shape| vec![From(1, shape.rows), Below(100_000)],
    },
    Kind { name: "remove", sql: "DELETE FROM {t} WHERE id = $1", draws: |shape| vec![From(1, shape.rows)] },
];
