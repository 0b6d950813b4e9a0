//! Polls payment and telecom providers for account balances and serves them to Prometheus.
//!
//! In this order: never a wrong number, never silence, never over a provider's limit, never a leaked
//! secret; then speed, ease, beauty. `docs/ARCHITECTURE.md` says why things are as they are.
//!
//! The flow, which is also the order of the layers (a module uses lower layers only; a test says so):
//!
//! ```text
//! exporter.yaml ─ config ─▶ app ──plans──▶ schedule ──Turn──▶ poller ─────▶ board ─▶ exposition ─▶ web ─▶ Prometheus
//!                           ▲ reload        ▲   finished       │  ▲          ▲  │ what is known
//!                           SIGHUP / POST   └──────────────────┘  │          │  ▼
//!                                               providers::step   │         store ─▶ disk
//!                                                      Request │  ▲ Response    ▲ leases, renewed tokens
//!                                                              ▼  │             │
//!                                                rate_limit ─▶ gate ────────────┘
//!                                                               └─▶ transport ─▶ network
//! ```

pub mod account;
pub mod app;
pub mod board;
pub mod cli;
pub mod clock;
pub mod config;
pub mod document;
pub mod exposition;
pub mod failure;
pub mod money;
pub mod poller;
pub mod providers;
pub mod rate_limit;
pub mod reference;
pub mod route;
pub mod sandbox;
pub mod schedule;
pub mod secret;
pub mod service;
pub mod session;
pub mod store;
pub mod transport;
pub mod web;
