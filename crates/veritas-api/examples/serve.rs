//! Serves the API over sources in memory, on one thread, and prints its
//! address and a token of each role: `cargo run -p veritas-api --example serve`.

use std::{
    error::Error,
    io::{self, Write},
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use veritas_alert::{Alerts, default_rules};
use veritas_api::{
    Limits, Sources,
    auth::{KeySet, Revocations, Role, TokenAuthenticator, TokenOptions},
    limits::Rate,
    serve::{ServeOptions, bind},
};
use veritas_cache::{CacheOptions, Caches};
use veritas_cache_advisor::{AdvisorOptions, CacheAdvisor};
use veritas_database::{Recorder, RecorderOptions};
use veritas_model::{Clock, Health, SystemClock};
use veritas_monitor::{Monitor, Sampler, SamplerOptions};
use veritas_optimize::{Optimizer, OptimizerOptions};
use veritas_store::{ControlPlane, History, MemoryControlPlane};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let control: Arc<dyn ControlPlane> = Arc::new(MemoryControlPlane::new(clock.clone()));
    let monitor = Arc::new(Monitor::new());
    let history = Arc::new(History::in_memory(NonZeroUsize::new(1_000).ok_or("not zero")?));
    let mut sampler = Sampler::open(SamplerOptions::default())?;
    let reading = sampler.tick(&*clock);
    history.append(
        reading.at,
        &reading.series(),
        &[("process.name", "serve"), ("process.status", "running")],
    )?;
    monitor.publish(reading);
    let caches = Arc::new(Caches::new(CacheOptions::default(), clock.clone()));
    let advice = AdvisorOptions::default();
    let sources = Sources {
        health: Arc::new(Health::default()),
        cache_advisor: Arc::new(CacheAdvisor::new(caches.clone(), clock.clone(), advice)),
        cache_server: Arc::default(),
        database_servers: Arc::default(),
        caches,
        database: Arc::new(Recorder::new(RecorderOptions::default(), clock.clone())),
        monitor,
        history,
        alerts: Arc::new(Alerts::load(control.clone(), default_rules())?),
        optimizer: Arc::new(Optimizer::new(control.clone(), clock.clone(), OptimizerOptions::default())),
        control: control.clone(),
        clock: clock.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    sources.caches.namespace::<String>("example").set(&1_u64, "value".to_owned());

    let keys = KeySet::ephemeral()?;
    let mut output = io::stdout();
    for role in Role::ALL {
        let issued = keys.issue("example", role, Duration::from_hours(1), &*clock)?;
        writeln!(output, "{} {}", role.as_str(), issued.token)?;
    }
    let revocations = Arc::new(Revocations::load(control)?);
    let authenticator = TokenAuthenticator::own_keys(keys, TokenOptions::default(), revocations, clock);
    // A load generator is one subject: let it have what it asks for.
    let most = NonZeroU32::MAX;
    let limits = Limits {
        subject_rate: Rate::new(most, most),
        address_rate: Rate::new(most, most),
        failure_rate: Rate::new(most, most),
        ..Limits::loopback()
    };
    let router = veritas_api::server(Arc::new(sources), Arc::new(authenticator), limits);
    let bound = bind("127.0.0.1:0".parse()?).await?;
    writeln!(output, "http://{}", bound.address)?;
    output.flush()?;
    let stopped = async {
        let _unlisten = tokio::signal::ctrl_c().await;
    };
    bound.serve(router, ServeOptions::default(), stopped).await;
    Ok(())
}
