//! A client of the API: one connection, one request at a time, JSON both ways.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

const PREFIX: &str = "/api/v1/performance";
/// How long a service that listens may take to be ready.
const TO_BE_READY: Duration = Duration::from_secs(30);

/// A connection with a token.
pub(crate) struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    address: SocketAddr,
    token: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, address, token: token.to_owned() })
    }

    /// Connects, and waits until `/readyz` says that the service serves.
    pub(crate) async fn ready(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let ready = async {
            loop {
                let mut client = Self::connect(address, token).await?;
                if client.send(Method::GET, "/readyz", None).await?.0 == StatusCode::OK {
                    return anyhow::Ok(client);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(TO_BE_READY, ready).await.context("the service does not become ready")?
    }

    /// Reads a resource of the API.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or the answer is not a success.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.send(Method::GET, &format!("{PREFIX}{path}"), None).await?;
        anyhow::ensure!(status.is_success(), "GET {path}: {status} {body}");
        Ok(body)
    }

    /// Reads a resource that may not be there.
    pub(crate) async fn find(&mut self, path: &str) -> anyhow::Result<Option<Value>> {
        let (status, body) = self.send(Method::GET, &format!("{PREFIX}{path}"), None).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        anyhow::ensure!(status.is_success(), "GET {path}: {status} {body}");
        Ok(Some(body))
    }

    /// Asks for an act; `None` when it conflicts with the state of its object.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or the answer is another one.
    pub(crate) async fn act(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Option<Value>> {
        let (status, body) = self.send(method, &format!("{PREFIX}{path}"), body).await?;
        if status == StatusCode::CONFLICT {
            return Ok(None);
        }
        anyhow::ensure!(status.is_success(), "{path}: {status} {body}");
        Ok(Some(body))
    }

    /// Says what `/readyz` calls degraded, with the reasons.
    pub(crate) async fn degraded(&mut self) -> anyhow::Result<Vec<String>> {
        let (_, body) = self.send(Method::GET, "/readyz", None).await?;
        let components = body["components"].as_array().cloned().unwrap_or_default();
        let degraded = components.iter().filter(|component| component["status"] != "ready");
        Ok(degraded.map(|component| format!("{}: {}", component["name"], component["reason"])).collect())
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, self.address.to_string())
            .header(hyper::header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}
