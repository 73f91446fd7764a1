//! Proof of our LRU against an oracle: libCacheSim makes the same of the same traces.
//!
//! Seeded traces are written as oracleGeneral, read back by our own reader, and
//! replayed by our LRU, by our exact stack distances (where all weigh one) and by
//! libCacheSim: the misses must be equal, to the last one.
//!
//! `cargo xtask prove oracle` installs the package `libcachesim` (as pinned in
//! `tools/requirements-oracle.txt`) for the workspace's own Python, and runs this;
//! `cargo xtask prove oracle PYTHON` runs it with a Python that has it.
#![expect(clippy::print_stdout, reason = "a proof prints its figures")]

use std::{error::Error, fs, io::Write, path::Path, process::Command};

use veritas_cache_advisor::{
    simulate::{Lru, StackDistances},
    trace,
    workload::{Weights, suite},
};

const REQUESTS: usize = 50_000;

fn main() -> Result<(), Box<dyn Error>> {
    let python = std::env::args().nth(1).unwrap_or_else(|| ".venv/bin/python".to_owned());
    let directory = std::env::temp_dir().join(format!("veritas-oracle-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let checked = check_all(&python, &directory);
    fs::remove_dir_all(&directory)?;
    let (checked, wrong) = checked?;
    println!("{checked} cells, {wrong} differ");
    if wrong > 0 { Err("our LRU is not libCacheSim's".into()) } else { Ok(()) }
}

fn check_all(python: &str, directory: &Path) -> Result<(u32, u32), Box<dyn Error>> {
    let (mut checked, mut wrong) = (0, 0);
    for (number, case) in suite(5_000, 7).iter().enumerate() {
        let path = directory.join(format!("{number}.oracleGeneral"));
        let mut file = std::io::BufWriter::new(fs::File::create(&path)?);
        for request in case.workload.requests().take(REQUESTS) {
            let seconds = u32::try_from(request.at.as_secs())?;
            file.write_all(&seconds.to_le_bytes())?;
            file.write_all(&request.key.to_le_bytes())?;
            file.write_all(&request.weight.to_le_bytes())?;
            file.write_all(&(-1_i64).to_le_bytes())?;
        }
        file.into_inner()?.sync_all()?;
        let unit = if case.workload.weights == Weights::One { 1 } else { 500 };
        let sizes: Vec<u64> = [10, 100, 500, 2_000, 10_000].map(|entries| entries * unit).to_vec();
        let oracle = ask(python, &path, &sizes)?;
        let requests: Vec<_> = trace::open(&path)?.collect::<Result<_, _>>()?;
        let mut distances = StackDistances::new(requests.len());
        for request in &requests {
            distances.request(request.key);
        }
        for (size, theirs) in sizes.iter().zip(oracle) {
            let mut lru = Lru::new(*size);
            let ours =
                requests.iter().filter(|request| !lru.request(request.key, request.size)).count() as u64;
            let by_distances =
                (unit == 1).then(|| distances.misses(usize::try_from(*size).unwrap_or(usize::MAX)));
            let agree = ours == theirs && by_distances.is_none_or(|misses| misses == theirs);
            checked += 1;
            wrong += u32::from(!agree);
            if !agree {
                println!(
                    "{} at {size}: ours {ours}, by distances {by_distances:?}, theirs {theirs}",
                    case.name
                );
            }
        }
        println!("{:<22} {} requests at {} sizes", case.name, requests.len(), sizes.len());
    }
    Ok((checked, wrong))
}

/// Returns the misses that libCacheSim counts at each size.
fn ask(python: &str, trace: &Path, sizes: &[u64]) -> Result<Vec<u64>, Box<dyn Error>> {
    let output = Command::new(python)
        .arg("tools/cache_oracle.py")
        .arg(trace)
        .args(sizes.iter().map(u64::to_string))
        .output()
        .map_err(|error| format!("failed to run {python:?}: {error}\nhint: cargo xtask prove oracle"))?;
    if !output.status.success() {
        return Err(format!("the oracle failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let misses = text.lines().map(|line| Ok(line.split(' ').nth(1).ok_or("no misses")?.parse()?));
    misses.collect()
}
