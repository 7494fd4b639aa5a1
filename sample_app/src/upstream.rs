//! Asks another service whether it is well.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use reqwest::{Client, Url};
use serde::Serialize;

use crate::error::ApiError;

/// How long an upstream may take to answer. Shorter than the default shutdown
/// grace, so a check under way when the service is told to stop can finish.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An upstream service and the client that talks to it.
#[derive(Clone, Debug)]
pub struct Upstream {
    client: Client,
    url: Url,
}

/// The body of `GET /upstream/health` when the upstream answered.
#[derive(Debug, Serialize)]
pub struct Report {
    pub status: &'static str,
    /// The HTTP status the upstream answered with.
    pub upstream_status: u16,
    pub latency_ms: f64,
}

impl Upstream {
    /// An upstream reached through the proxy named in the environment, if there is one.
    pub fn new(url: Url) -> reqwest::Result<Self> {
        let client = Client::builder().user_agent(concat!(
            env!("CARGO_PKG_NAME"),
            "/",
            env!("CARGO_PKG_VERSION")
        ));
        Ok(Self::with_client(client.build()?, url))
    }

    pub fn with_client(client: Client, url: Url) -> Self {
        Self { client, url }
    }

    /// Asks once. Any answer at all is a [`Report`]; only success is "ok".
    pub async fn check(&self) -> Result<Report, ApiError> {
        let started = Instant::now();
        let request = self.client.get(self.url.clone()).timeout(TIMEOUT);
        let response = request.send().await.map_err(|error| {
            // The address may hold a password, so it goes into neither.
            let error = error.without_url();
            tracing::warn!(error = ?error, "upstream check failed");
            let reason = if error.is_timeout() {
                "upstream timed out"
            } else {
                "upstream is unreachable"
            };
            ApiError::new(StatusCode::BAD_GATEWAY, reason)
        })?;
        let answer = response.status();
        Ok(Report {
            status: if answer.is_success() { "ok" } else { "failing" },
            upstream_status: answer.as_u16(),
            latency_ms: (started.elapsed().as_micros() as f64) / 1000.0,
        })
    }
}
