//! Runs the example on a free port of loopback, with the secret of the environment.

use anyhow::Context;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let secret = std::env::var_os("JWT_SECRET").context("set JWT_SECRET to 32 bytes or more")?;
    let service = axum_service::start("veritas-data".as_ref(), secret.as_encoded_bytes()).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, service.router).await?;
    Ok(())
}
