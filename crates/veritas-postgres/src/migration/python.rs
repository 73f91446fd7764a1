//! Migrations in Python: Alembic and Django.

use std::fmt::Write as _;

use veritas_model::stable_hash;

use super::{Change, MigrationFile, bare, definition::Plain};
use crate::session::ident;

/// The longest name of an index that Django takes (`django.db.models.Index.max_name_length`).
const DJANGO_NAME: usize = 30;

/// Writes an Alembic migration: `autocommit_block` leaves the transaction.
pub(super) fn alembic(change: &Change<'_>) -> MigrationFile {
    let revision = revision(change);
    let (up, down) = match (&change.index.plain, change.creates) {
        (Some(plain), true) => (alembic_create(change, plain), alembic_drop(change)),
        (Some(plain), false) => (alembic_drop(change), alembic_create(change, plain)),
        (None, _) => (alembic_sql(change.forward), alembic_sql(change.inverse)),
    };
    let sqlalchemy = if up.contains("sa.text(") || down.contains("sa.text(") {
        "import sqlalchemy as sa\nfrom alembic import op\n"
    } else {
        "from alembic import op\n"
    };
    let text = format!(
        "# {summary}\n# CONCURRENTLY refuses a transaction: both ways leave it.\n{sqlalchemy}\n\
         revision = {revision}\n\
         down_revision = None  # set this to your head: `alembic heads`\n\
         branch_labels = None\ndepends_on = None\n\n\n\
         def upgrade():\n    with op.get_context().autocommit_block():\n{up}\n\n\
         def downgrade():\n    with op.get_context().autocommit_block():\n{down}",
        summary = change.summary(),
        revision = string(&revision),
    );
    MigrationFile { name: format!("{revision}_{}.py", change.slug()), text }
}

fn alembic_create(change: &Change<'_>, plain: &Plain) -> String {
    let keys = plain.keys.iter().map(|(name, descending)| {
        if *descending {
            format!("sa.text({})", string(&format!("{} DESC", ident(name))))
        } else {
            string(name)
        }
    });
    let mut text = String::from("        op.create_index(\n");
    let mut line = |argument: String| writeln!(text, "            {argument},").unwrap_or_default();
    line(string(&change.index.name));
    line(string(&change.index.table));
    line(format!("[{}]", keys.collect::<Vec<_>>().join(", ")));
    if let Some(schema) = &change.index.schema {
        line(format!("schema={}", string(schema)));
    }
    if change.index.unique {
        line("unique=True".to_owned());
    }
    if !plain.include.is_empty() {
        line(format!("postgresql_include=[{}]", list(&plain.include)));
    }
    line("postgresql_concurrently=True".to_owned());
    text.push_str("        )\n");
    text
}

fn alembic_drop(change: &Change<'_>) -> String {
    let mut text = String::from("        op.drop_index(\n");
    let mut line = |argument: String| writeln!(text, "            {argument},").unwrap_or_default();
    line(string(&change.index.name));
    line(format!("table_name={}", string(&change.index.table)));
    if let Some(schema) = &change.index.schema {
        line(format!("schema={}", string(schema)));
    }
    line("postgresql_concurrently=True".to_owned());
    text.push_str("        )\n");
    text
}

fn alembic_sql(statement: &str) -> String {
    format!("        op.execute({})\n", string(bare(statement)))
}

/// Writes a Django migration: `atomic = False` leaves the transaction.
///
/// Django speaks of models, and a model is not known by its table alone; what is guessed
/// is marked. Names longer than Django takes are shortened.
pub(super) fn django(change: &Change<'_>) -> MigrationFile {
    let name = django_name(&change.index.name);
    let (imports, operation) = match (&change.index.plain, change.creates, change.index.unique) {
        (Some(plain), true, false) => (
            "from django.contrib.postgres.operations import AddIndexConcurrently\n\
             from django.db import migrations, models\n",
            django_add(change, plain, &name),
        ),
        (Some(_), false, false) if name == change.index.name => (
            "from django.contrib.postgres.operations import RemoveIndexConcurrently\n\
             from django.db import migrations\n",
            django_remove(change, &name),
        ),
        _ => ("from django.db import migrations\n", django_sql(change)),
    };
    let text = format!(
        "# {summary}\n{imports}\n\n\
         class Migration(migrations.Migration):\n\
         \x20   atomic = False  # CONCURRENTLY refuses a transaction\n\n\
         \x20   dependencies = []  # set this to the last migration of the app\n\n\
         \x20   operations = [\n{operation}    ]\n",
        summary = change.summary(),
    );
    MigrationFile { name: format!("{}.py", change.slug()), text }
}

fn django_add(change: &Change<'_>, plain: &Plain, name: &str) -> String {
    let keys = plain
        .keys
        .iter()
        .map(|(column, descending)| string(&if *descending { format!("-{column}") } else { column.clone() }));
    let mut text = String::from("        AddIndexConcurrently(\n");
    writeln!(text, "            model_name={},  # the model of this table", string(&model(change)))
        .unwrap_or_default();
    text.push_str("            index=models.Index(\n");
    let mut line = |argument: String| writeln!(text, "                {argument},").unwrap_or_default();
    line(format!("name={}", string(name)));
    line(format!("fields=[{}]", keys.collect::<Vec<_>>().join(", ")));
    if !plain.include.is_empty() {
        line(format!("include=[{}]", list(&plain.include)));
    }
    text.push_str("            ),\n        ),\n");
    text
}

fn django_remove(change: &Change<'_>, name: &str) -> String {
    format!(
        "        RemoveIndexConcurrently(\n            model_name={},  # the model of this table\n            \
         name={},\n        ),\n",
        string(&model(change)),
        string(name),
    )
}

fn django_sql(change: &Change<'_>) -> String {
    format!(
        "        migrations.RunSQL(\n            sql={},\n            reverse_sql={},\n        ),\n",
        string(bare(change.forward)),
        string(bare(change.inverse)),
    )
}

/// Guesses the model of a table: Django names tables `app_model`.
fn model(change: &Change<'_>) -> String {
    let table = &change.index.table;
    table.split_once('_').map_or(table.as_str(), |(_, model)| model).to_owned()
}

fn django_name(name: &str) -> String {
    // Django also refuses a name that begins with a digit or an underscore.
    let is_fine = name.len() <= DJANGO_NAME && name.starts_with(|first: char| first.is_ascii_alphabetic());
    if is_fine { name.to_owned() } else { format!("veritas_{:016x}", stable_hash(name.as_bytes())) }
}

fn revision(change: &Change<'_>) -> String {
    format!("{:012x}", stable_hash(change.forward.as_bytes()) >> 16)
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| string(name)).collect::<Vec<_>>().join(", ")
}

/// Writes text as a literal of Python.
fn string(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => literal.extend(['\\', letter]),
            letter if letter.is_control() => {
                write!(literal, "\\u{:04x}", u32::from(letter)).unwrap_or_default();
            }
            letter => literal.push(letter),
        }
    }
    literal.push('"');
    literal
}
