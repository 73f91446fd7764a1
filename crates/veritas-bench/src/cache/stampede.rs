//! Stampedes: many callers of several processes miss one key together. How often is
//! it loaded, and how long do they wait for a load of 0.3 s?

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use veritas_testkit::Redis;

use super::{Arguments, caller, peers, table::Table};

const LIBRARIES: [&str; 4] = ["cashews", "dogpile.cache", "aiocache", "no lock"];

/// Measures loads and seconds to the last answer.
pub(crate) fn measure(redis: &Redis, arguments: &Arguments) -> anyhow::Result<[Table; 2]> {
    let port = redis.address().context("Redis listens on TCP")?.port().to_string();
    let crowd = format!("{} processes of {} callers", arguments.processes, arguments.callers);
    let mut loads = Table::new(format!("a stampede of {crowd} on one key"), "loads");
    let mut seconds = Table::new("until the last caller has its answer, of a load of 0.3 s", "s");

    let ours: Vec<(f64, f64)> =
        (0..arguments.stampedes).map(|_| ours(redis, arguments)).collect::<anyhow::Result<_>>()?;
    loads.add("veritas-redis", ours.iter().map(|(loads, _)| *loads).collect());
    seconds.add("veritas-redis", ours.iter().map(|(_, seconds)| *seconds).collect());

    for library in LIBRARIES {
        let mut measured = Vec::new();
        for _ in 0..arguments.stampedes {
            let processes = arguments.processes.to_string();
            let callers = arguments.callers.to_string();
            let words = [
                "stampede",
                "--port",
                &port,
                "--library",
                library,
                "--processes",
                &processes,
                "--callers",
                &callers,
            ];
            let figures = peers::run(&arguments.python, &words)?;
            let figure = |name: &str| figures[name].as_f64().with_context(|| format!("there is no {name}"));
            measured.push((figure("loads")?, figure("seconds")?));
        }
        loads.add(library, measured.iter().map(|(loads, _)| *loads).collect());
        seconds.add(library, measured.iter().map(|(_, seconds)| *seconds).collect());
    }
    Ok([loads, seconds])
}

/// Runs one stampede of ours: processes of this program, let go together.
fn ours(redis: &Redis, arguments: &Arguments) -> anyhow::Result<(f64, f64)> {
    redis.cli(&["FLUSHALL"]);
    let mut processes = (0..arguments.processes)
        .map(|_| {
            Command::new(std::env::current_exe()?)
                .args(["cache-caller", &redis.url(), "--callers", &arguments.callers.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("failed to start a process of callers")
        })
        .collect::<anyhow::Result<Vec<Child>>>()?;
    let mut answers = Vec::new();
    for process in &mut processes {
        let stdout = process.stdout.take().context("the process has a stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        ensure!(
            lines.next().transpose()?.as_deref() == Some(caller::READY),
            "a process of callers is not ready"
        );
        answers.push(lines);
    }
    for process in &mut processes {
        writeln!(process.stdin.as_mut().context("the process has a stdin")?, "{}", caller::GO)?;
    }
    let mut slowest = 0.0_f64;
    for lines in &mut answers {
        let seconds: f64 = lines.next().context("a process of callers said nothing")??.parse()?;
        slowest = slowest.max(seconds);
    }
    for mut process in processes {
        ensure!(process.wait()?.success(), "a process of callers failed");
    }
    let loads = redis.cli(&["GET", caller::LOADS]).trim().parse().context("the loads were not counted")?;
    Ok((loads, slowest))
}
