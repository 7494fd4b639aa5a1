//! The routes and what they answer.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::error::ApiError;
use crate::tile::{TileId, render_png};
use crate::upstream::Upstream;
use crate::version::{VERSION, Version};

/// Tiles never change within a version, so caches may keep them for a day.
const CACHE_CONTROL: &str = "public, max-age=86400";

/// What the handlers share.
#[derive(Clone)]
struct AppState {
    upstream: Option<Upstream>,
    /// One permit for each core: rendering is pure computation.
    renderers: Arc<Semaphore>,
}

/// Builds the service.
pub fn router(upstream: Option<Upstream>) -> Router {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    Router::new()
        .route("/healthz", get(healthz))
        .route("/version", get(version))
        .route("/tiles/{z}/{x}/{file}", get(tile))
        .route("/upstream/health", get(upstream_health))
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "no such page"))
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here")
        })
        .layer(from_fn(log_request))
        .with_state(AppState {
            upstream,
            renderers: Arc::new(Semaphore::new(cores)),
        })
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn version() -> Json<Version> {
    Json(VERSION)
}

async fn tile(
    State(state): State<AppState>,
    Path((z, x, file)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tile = parse_tile(&z, &x, &file)
        .map_err(|message| ApiError::new(StatusCode::BAD_REQUEST, message))?;

    let etag = tile.etag();
    let caching = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, CACHE_CONTROL.to_owned()),
    ];
    if holds(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }

    let permit = state
        .renderers
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let rendered = spawn_blocking(move || {
        // Held until the work ends, even if the client has gone by then.
        let _permit = permit;
        render_png(tile)
    })
    .await;
    match rendered {
        Ok(Ok(png)) => Ok((caching, [(header::CONTENT_TYPE, "image/png")], png).into_response()),
        failure => {
            tracing::error!(?failure, ?tile, "rendering failed");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Err(ApiError::new(status, "the tile could not be rendered"))
        }
    }
}

/// Reads a tile address out of the parts of a path; the error is for the client.
fn parse_tile(z: &str, x: &str, file: &str) -> Result<TileId, String> {
    let y = file
        .strip_suffix(".png")
        .ok_or("a tile's name ends in .png")?;
    let z: u32 = number("zoom", z)?;
    // A zoom too large for its type is still a number, and gets the same answer.
    let z = u8::try_from(z).unwrap_or(u8::MAX);
    TileId::new(z, number("x", x)?, number("y", y)?).map_err(|error| error.to_string())
}

/// Plain digits only: one tile, one address, so no `+1` beside `1`.
fn number(name: &str, text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    match text.parse() {
        Ok(value) if canonical => Ok(value),
        _ => Err(format!("{name} is not a tile number")),
    }
}

/// Whether the client's `If-None-Match` names this version of the resource.
fn holds(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag == etag)
}

async fn upstream_health(State(state): State<AppState>) -> Result<Response, ApiError> {
    let upstream = state.upstream.ok_or_else(|| {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        ApiError::new(status, "no upstream is configured: set UPSTREAM_URL")
    })?;
    let report = upstream.check().await?;
    let status = match report.status {
        "ok" => StatusCode::OK,
        _ => StatusCode::BAD_GATEWAY,
    };
    Ok((status, Json(report)).into_response())
}

/// Logs each request once, when its answer is ready.
async fn log_request(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    tracing::info!(
        %method,
        path,
        status = response.status().as_u16(),
        latency_ms = started.elapsed().as_micros() as f64 / 1000.0,
        "request"
    );
    response
}
