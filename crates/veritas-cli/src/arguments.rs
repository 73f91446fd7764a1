//! The command line, as clap reads it: the doc comment of a field is its help.

mod database;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use veritas::api::auth::keys::LONGEST_LIFE;

pub(crate) use database::{
    DatabaseAdviseArguments, DatabaseCommand, ExplainArguments, GrantLevel, GrantsArguments, MigrationForm,
    PostgresPlace,
};

/// Finds what makes an application slow, proves the fix, applies it, and takes it back when it does not help.
#[derive(Debug, Parser)]
#[command(
    name = "veritas",
    version,
    after_help = "Examples:\n  veritas demo\n  veritas serve --data-dir ./veritas-data\n  veritas token create --subject me --role operator --data-dir ./veritas-data\n\nExit codes:\n  0  done\n  1  failed; the last line on stderr says what to do\n  2  the command line is wrong\n  3  the configuration is wrong\n  4  the data directory is in use, unreadable or of another format\n  5  the address cannot be bound"
)]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API on live figures of this machine (and of the databases named in the configuration).
    #[command(
        after_help = "Examples:\n  veritas serve\n  veritas serve --listen 127.0.0.1:0 --data-dir /var/lib/veritas\n  veritas serve --sqlite app=/srv/app/app.db\n\nStops on SIGTERM or Ctrl-C: open answers are finished within 5 seconds, then it exits 0."
    )]
    Serve(ServeArguments),
    /// Run a small real service with planted flaws, find them, prove a fix, apply it, and take back a bad one.
    #[command(
        after_help = "Examples:\n  veritas demo\n  veritas demo --once --json > report.json\n\nNeeds nothing but this binary; everything it writes goes to a temporary directory."
    )]
    Demo(DemoArguments),
    /// Repeat what the demo shows, count, and fail when it does not hold (for `cargo xtask prove`).
    #[command(subcommand, hide = true)]
    Prove(ProveCommand),
    /// Make access tokens (the API takes them back: `tokens/revoke`).
    #[command(subcommand)]
    Token(TokenCommand),
    /// Ask what the caches of a running engine should be, or replay a trace of look-ups.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Ask which indexes a database should have, or which rights we need there.
    #[command(subcommand, name = "db")]
    Database(DatabaseCommand),
    /// Print the plan of one statement, without running it.
    #[command(
        after_help = "Examples:\n  veritas explain 'SELECT * FROM orders WHERE customer_id = $1' --postgres postgresql://me@db/shop\n  veritas explain 'SELECT * FROM orders WHERE customer_id = $1' --value 7\n  veritas explain 'SELECT * FROM orders WHERE user_id = ?' --value 7 --mysql mysql://me@db/shop\n  veritas explain - < statement.sql\n\nA statement that could do anything but read is refused: see the page of `veritas_postgres::guard`."
    )]
    Explain(ExplainArguments),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the `OpenAPI` document of the API.
    #[command(after_help = "Example:\n  veritas openapi > openapi.json")]
    Openapi,
    /// Check this machine and the configuration, or a database server, and say how to mend what is wrong.
    #[command(
        after_help = "Examples:\n  veritas doctor --data-dir /var/lib/veritas --json\n  veritas doctor postgresql://me@db/shop --password-file ~/.shop-password\n\nA server is only read, and needs no extension. Exits 1 when something is wrong, with a server when something is critical."
    )]
    Doctor(DoctorArguments),
    /// Print the completions of a shell.
    #[command(after_help = "Example:\n  veritas completions bash > /etc/bash_completion.d/veritas")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(after_help = "Example:\n  veritas man | man -l -")]
    Man,
}

/// Where the configuration and the data are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Places {
    /// The directory that holds keys, history and the ledger [default: ./veritas-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The configuration file [default: ./veritas.toml when it is there].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `veritas serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where to listen [default: 127.0.0.1:9900]; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) places: Places,
    /// A `SQLite` database to advise on, as NAME=FILE; may be given more than once.
    #[arg(long, value_name = "NAME=FILE")]
    pub(crate) sqlite: Vec<String>,
    /// A Redis server to look at, without a password: that is read from the file that the setting
    /// `targets.redis_password_file` names.
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// A `PostgreSQL` database to look at and to advise on, without a password: that is read from the
    /// file that the setting `targets.postgres_password_file` names.
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// A `MariaDB` or `MySQL` database to look at, without a password: that is read from the file that
    /// the setting `targets.mysql_password_file` names.
    #[arg(long, value_name = "URL")]
    pub(crate) mysql: Option<String>,
}

/// `veritas demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Stop when the story is told, instead of staying up to be looked at.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print one JSON document at the end instead of the report.
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the demo serves the API; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Keep the demo's database and ledger here instead of in a temporary directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A Redis server for the demo's second cache tier; by default it caches in the process only.
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// A `PostgreSQL` database for the demo's service instead of `SQLite`: the demo makes the schema
    /// `veritas_demo` in it, proves on a copy of its tables beside it, and drops both at the end. The
    /// chapter of the harmful index is left out: there the load shows no harm of it.
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    pub(crate) postgres: Option<String>,
    /// Seed of the load: the same seed plays the same requests.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// `veritas prove`: proofs on the demo's stage.
#[derive(Debug, Subcommand)]
pub(crate) enum ProveCommand {
    /// Changes that do nothing must stay, the planted harmful one must go, on the demo's live load.
    #[command(after_help = "Example:\n  veritas prove live-verdicts --no-ops 200 --harmful 20")]
    LiveVerdicts(VerdictArguments),
    /// Kill the demo's service at random moments: what it acknowledged must be there after a restart.
    #[command(after_help = "Example:\n  veritas prove kill --rounds 100")]
    Kill(KillArguments),
    /// Run the demo's service, engine and load without its story until stdin ends: what `kill` kills.
    Stage(StageArguments),
}

/// `veritas prove live-verdicts`.
#[derive(Debug, Args)]
pub(crate) struct VerdictArguments {
    /// How many changes that do nothing are made.
    #[arg(long, default_value_t = 200)]
    pub(crate) no_ops: u32,
    /// How many times the planted harmful change is made.
    #[arg(long, default_value_t = 20)]
    pub(crate) harmful: u32,
    /// How long each change that does nothing is watched while it is fresh, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) window: u32,
    /// How long each change that does nothing is watched once it is kept, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) regression: u32,
    /// Seed of the dataset and the loads.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `veritas prove kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArguments {
    /// How many times the service is killed.
    #[arg(long, default_value_t = 100)]
    pub(crate) rounds: u32,
    /// Seed of the moments, the dataset and the load.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Keep the files here instead of in a temporary directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `veritas prove stage`.
#[derive(Debug, Args)]
pub(crate) struct StageArguments {
    /// Where its files are.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Seed of the dataset, the load and the offered changes.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Measure the proposals of the advisor, as the demo does.
    #[arg(long)]
    pub(crate) measure: bool,
}

/// `veritas token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Print a new token, and nothing else, on stdout. Works while a server runs on the same directory.
    #[command(
        after_help = "Example:\n  curl -H \"Authorization: Bearer $(veritas token create --subject me)\" http://127.0.0.1:9900/api/v1/performance/monitoring/system"
    )]
    Create {
        /// Whom the token is for.
        #[arg(long)]
        subject: String,
        /// What its bearer may do.
        #[arg(long, value_enum, default_value_t = RoleArgument::Viewer)]
        role: RoleArgument,
        /// How long it is valid (`90s`, `30m`, `12h`, `7d`), at most 90 days.
        #[arg(long, default_value = "30m", value_parser = parse_ttl)]
        ttl: std::time::Duration,
        #[command(flatten)]
        places: Places,
    },
}

/// A role, as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArgument {
    /// Reads everything but the audit log.
    Viewer,
    /// Clears statistics, approves and takes back changes.
    Operator,
    /// Tokens, rules and configuration.
    Admin,
}

/// `veritas cache`.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Print which size and time to live each cache of a running engine should have, and why.
    #[command(
        after_help = "Examples:\n  veritas cache advise\n  veritas cache advise users --data-dir /var/lib/veritas --json\n\nAsks the engine that wrote its address into the data directory."
    )]
    Advise(AdviseArguments),
    /// Replay a trace of look-ups against the real engine at several sizes and times to live.
    #[command(
        after_help = "Examples:\n  veritas cache replay accesses.csv\n  veritas cache replay accesses.csv --sizes 1000,10000,100000 --json\n  veritas cache replay trace.oracleGeneral --bytes --exact\n\nA CSV file has the columns time, key, and if known size, op (get, set, delete) and ttl; times are seconds. Ctrl-C ends the replay and prints what it knows."
    )]
    Replay(ReplayArguments),
}

/// `veritas cache advise`.
#[derive(Debug, Args)]
pub(crate) struct AdviseArguments {
    /// The namespace to look at; all of them without it.
    pub(crate) namespace: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) places: Places,
}

/// `veritas cache replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// The trace: CSV, or libCacheSim's oracleGeneral.
    pub(crate) trace: PathBuf,
    /// What the file is; by default its name tells (.csv, .txt; .bin, .oracleGeneral).
    #[arg(long, value_enum)]
    pub(crate) format: Option<TraceFormat>,
    /// Capacities to try, at most sixteen, separated by commas; by default sixteen, each two and a half times the one before.
    #[arg(long, value_delimiter = ',', value_name = "CAPACITY", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sizes: Vec<u64>,
    /// Weigh entries by their sizes, so that capacities are bytes; without it every entry weighs one.
    #[arg(long)]
    pub(crate) bytes: bool,
    /// Also replay every look-up at every capacity, on the real engine and on LRU, beside the estimate.
    #[arg(long)]
    pub(crate) exact: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a file of look-ups is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceFormat {
    /// Text with commas.
    Csv,
    /// 24 bytes a look-up, as libCacheSim writes them.
    OracleGeneral,
}

/// `veritas config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every value in force.
    #[command(after_help = "Example:\n  veritas config show --origin")]
    Show {
        /// Say where each value comes from.
        #[arg(long)]
        origin: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        places: Places,
    },
}

/// `veritas doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// A database server to check instead: `postgresql://USER@HOST:PORT/DATABASE`, or `mysql://…`,
    /// `mariadb://…`.
    #[arg(value_name = "URL", conflicts_with_all = ["redis", "data_dir", "config"])]
    pub(crate) url: Option<String>,
    /// The file that holds the password for that server.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) password_file: Option<PathBuf>,
    /// A Redis server to check as well.
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) places: Places,
}

/// Reads a duration such as `30m`: a whole number and `s`, `m`, `h` or `d`.
fn parse_ttl(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 90s, 30m, 12h or 7d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds_per_unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let seconds =
        number.parse::<u64>().ok().and_then(|count| count.checked_mul(seconds_per_unit)).ok_or_else(wrong)?;
    let ttl = std::time::Duration::from_secs(seconds);
    if ttl.is_zero() || ttl > LONGEST_LIFE {
        return Err(format!("a token is valid from 1 second to 90 days, not {text}"));
    }
    Ok(ttl)
}

/// Reads a time such as `30s` or `2m`.
fn parse_time(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 10s or 2m");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds_per_unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|count| count.checked_mul(seconds_per_unit));
    match seconds {
        Some(seconds @ 1..=86_400) => Ok(std::time::Duration::from_secs(seconds)),
        Some(_) => Err(format!("a time is from one second to a day, not {text}")),
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <CommandLine as clap::CommandFactory>::command().debug_assert();
    }

    #[track_caller]
    fn check_ttl(text: &str, expected: Option<u64>) {
        assert_eq!(parse_ttl(text).ok().map(|ttl| ttl.as_secs()), expected, "{text}");
    }

    #[test]
    fn a_ttl_is_a_number_and_a_unit() {
        check_ttl("90s", Some(90));
        check_ttl("30m", Some(1_800));
        check_ttl("7d", Some(604_800));
        check_ttl("90d", Some(7_776_000));
        check_ttl("91d", None);
        for wrong in ["", "m", "30", "-1m", "1.5h", "0s", "9999999999999999999d", "400d", "1µ"] {
            check_ttl(wrong, None);
        }
    }
}
