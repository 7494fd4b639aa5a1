//! A small tile and image service.
//!
//! It exists to give the multi-arch pipeline something real to build: an async
//! HTTP server, a TLS client with a C dependency, and a renderer whose pixels
//! must come out the same on every architecture.

pub mod app;
pub mod config;
pub mod error;
pub mod server;
pub mod tile;
pub mod upstream;
pub mod version;

#[cfg(test)]
mod epoch;
