"""Generate the workspace of twelve services: three shared libraries, and services from a table.

Equal tables give equal bytes. `services.lock` is the workspace's Cargo.lock.
"""

from __future__ import annotations

from pathlib import Path

LOCK = Path(__file__).with_name("services.lock")

SERVICES = {
    "accounts": "user group session",
    "billing": "invoice payment refund",
    "catalog": "product category price",
    "delivery": "parcel route courier",
    "inventory": "item shelf stocktake",
    "loyalty": "member reward voucher",
    "messages": "letter template recipient",
    "orders": "order basket position",
    "ratings": "review score report",
    "returns": "claim label inspection",
    "search": "query synonym ranking",
    "support": "ticket answer escalation",
}
"""Services with their three resources."""

FIELDS = (
    ("name", "String"),
    ("reference", "String"),
    ("amount", "u32"),
    ("active", "bool"),
    ("tags", "Vec<String>"),
)

_WORKSPACE = """[workspace]
resolver = "2"
members = ["libraries/*", "services/*"]

[workspace.package]
version = "0.1.0"
edition = "2021"

[workspace.dependencies]
axum = { version = "0.8", default-features = false, features = ["http1", "json", "query", "tokio"] }
serde = { version = "1", features = ["derive"] }
serde_json = "1"
tokio = { version = "1", features = ["macros", "net", "rt-multi-thread", "signal"] }
tracing = { version = "0.1", default-features = false, features = ["std"] }
tracing-subscriber = { version = "0.3", default-features = false, features = ["env-filter", "fmt", "std"] }
model = { path = "libraries/model" }
store = { path = "libraries/store" }
web = { path = "libraries/web" }
"""

_PACKAGE = """[package]
name = "{name}"
version.workspace = true
edition.workspace = true

[dependencies]
"""

_LIBRARIES = {
    "model": (
        "serde",
        """//! What all services share.
use serde::{Deserialize, Serialize};

/// A value and the number it is kept under.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored<T> {
    pub id: u64,
    pub value: T,
}

/// A part of a list; `next` asks for what follows.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<Stored<T>>,
    pub next: Option<u64>,
}

/// Why a value is refused.
#[derive(Debug, Serialize)]
pub struct Problem {
    pub field: &'static str,
    pub what: &'static str,
}

/// What every resource can say of itself.
pub trait Resource {
    fn problems(&self) -> Vec<Problem>;
    fn matches(&self, text: &str) -> bool;
}
""",
    ),
    "store": (
        "model",
        """//! Values in memory.
use model::{Page, Stored};
use std::collections::BTreeMap;
use std::sync::RwLock;

/// Values by number.
pub struct Store<T> {
    items: RwLock<BTreeMap<u64, T>>,
}

impl<T: Clone> Store<T> {
    pub fn new() -> Self {
        Self { items: RwLock::new(BTreeMap::new()) }
    }

    pub fn insert(&self, value: T) -> u64 {
        let mut items = self.items.write().unwrap();
        let id = items.keys().next_back().map_or(1, |last| last + 1);
        items.insert(id, value);
        id
    }

    pub fn get(&self, id: u64) -> Option<T> {
        self.items.read().unwrap().get(&id).cloned()
    }

    pub fn replace(&self, id: u64, value: T) -> bool {
        self.items.write().unwrap().get_mut(&id).map(|old| *old = value).is_some()
    }

    pub fn remove(&self, id: u64) -> bool {
        self.items.write().unwrap().remove(&id).is_some()
    }

    pub fn page(&self, after: u64, limit: usize, keep: impl Fn(&T) -> bool) -> Page<T> {
        let items = self.items.read().unwrap();
        let mut found: Vec<_> = items
            .range(after + 1..)
            .filter(|(_, value)| keep(value))
            .take(limit + 1)
            .map(|(id, value)| Stored { id: *id, value: value.clone() })
            .collect();
        let next = (found.len() > limit).then(|| found[limit - 1].id);
        found.truncate(limit);
        Page { items: found, next }
    }
}

impl<T: Clone> Default for Store<T> {
    fn default() -> Self {
        Self::new()
    }
}
""",
    ),
    "web": (
        "axum model serde serde_json store tokio tracing tracing-subscriber",
        """//! Resources over HTTP.
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use model::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::Store;

#[derive(Deserialize)]
struct Wanted {
    after: Option<u64>,
    limit: Option<usize>,
    text: Option<String>,
}

/// The five routes of a resource.
pub fn resource<T>(name: &str) -> Router
where
    T: Resource + Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    Router::new()
        .route(&format!("/{name}"), get(list::<T>).post(create::<T>))
        .route(&format!("/{name}/{{id}}"), get(read::<T>).put(update::<T>).delete(remove::<T>))
        .with_state(Arc::new(Store::<T>::new()))
}

async fn list<T: Resource + Clone + Serialize>(
    State(store): State<Arc<Store<T>>>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let text = wanted.text.unwrap_or_default();
    let keep = |value: &T| text.is_empty() || value.matches(&text);
    Json(store.page(wanted.after.unwrap_or(0), wanted.limit.unwrap_or(50), keep)).into_response()
}

async fn create<T: Resource + Clone>(State(store): State<Arc<Store<T>>>, Json(value): Json<T>) -> Response {
    let problems = value.problems();
    if !problems.is_empty() {
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(problems)).into_response();
    }
    (StatusCode::CREATED, Json(serde_json::json!({ "id": store.insert(value) }))).into_response()
}

async fn read<T: Clone + Serialize>(State(store): State<Arc<Store<T>>>, Path(id): Path<u64>) -> Response {
    match store.get(id) {
        Some(value) => Json(value).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn update<T: Clone>(
    State(store): State<Arc<Store<T>>>,
    Path(id): Path<u64>,
    Json(value): Json<T>,
) -> StatusCode {
    if store.replace(id, value) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn remove<T: Clone>(State(store): State<Arc<Store<T>>>, Path(id): Path<u64>) -> StatusCode {
    if store.remove(id) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

/// Serve until the process is asked to end.
pub async fn serve(name: &str, router: Router) {
    tracing_subscriber::fmt().with_env_filter("info").init();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await.expect("the port is taken");
    tracing::info!(name, "serving");
    let ended = async { tokio::signal::ctrl_c().await.expect("no signal handler") };
    axum::serve(listener, router).with_graceful_shutdown(ended).await.expect("serving failed");
}
""",
    ),
}


def files() -> dict[str, str]:
    """Return the workspace's files by path, without its lock file."""
    made = {"Cargo.toml": _WORKSPACE}
    for name, (dependencies, text) in _LIBRARIES.items():
        made[f"libraries/{name}/Cargo.toml"] = _manifest(name, dependencies)
        made[f"libraries/{name}/src/lib.rs"] = text
    for name, resources in SERVICES.items():
        made[f"services/{name}/Cargo.toml"] = _manifest(name, "model serde tokio web axum")
        made[f"services/{name}/src/main.rs"] = _service(name, resources.split())
    return made


def _manifest(name: str, dependencies: str) -> str:
    lines = "".join(f"{each}.workspace = true\n" for each in sorted(dependencies.split()))
    return _PACKAGE.format(name=name) + lines


def _service(name: str, resources: list[str]) -> str:
    types = "\n".join(_resource(each) for each in resources)
    merged = "".join(
        f'\n        .merge(web::resource::<{each.capitalize()}>("{each}s"))' for each in resources
    )
    return f"""//! The service {name}.
use model::{{Problem, Resource}};
use serde::{{Deserialize, Serialize}};

{types}
#[tokio::main]
async fn main() {{
    let router = axum::Router::new(){merged};
    web::serve("{name}", router).await;
}}
"""


def _resource(name: str) -> str:
    fields = "".join(f"    {name}_{field}: {kind},\n" for field, kind in FIELDS)
    return f"""#[derive(Clone, Debug, Serialize, Deserialize)]
struct {name.capitalize()} {{
{fields}}}

impl Resource for {name.capitalize()} {{
    fn problems(&self) -> Vec<Problem> {{
        let mut found = Vec::new();
        if self.{name}_name.trim().is_empty() {{
            found.push(Problem {{ field: "{name}_name", what: "is empty" }});
        }}
        if self.{name}_active && self.{name}_amount == 0 {{
            found.push(Problem {{ field: "{name}_amount", what: "is zero" }});
        }}
        found
    }}

    fn matches(&self, text: &str) -> bool {{
        let own = [&self.{name}_name, &self.{name}_reference];
        own.into_iter().chain(&self.{name}_tags).any(|one| one.contains(text))
    }}
}}
"""
