//! Who may know whom, held against `src/` as it is.
//!
//! Cargo keeps crates apart, not the modules of one crate; this test does. The table is the one in
//! docs/ARCHITECTURE.md. A new module at the top of `src/` needs a row here. Code under `#[cfg(test)]` may name
//! what it likes: a test of a layer may build the layers around it.

mod names;

use names::{Name, names};

use crate::source::{SourceFile, read, source_files, texts};

/// What the modules of one name at the top of `src/` may know.
struct Row {
    module: &'static str,
    /// Modules of ours, whole or from a path on, besides its own; `*` for all of them.
    may: &'static [&'static str],
    /// Modules of ours that it must never name: implied by `may`, said for people, and checked to agree.
    never: &'static [&'static str],
    /// Crates, or paths in them, that it must never name.
    never_crates: &'static [&'static str],
}

/// Modules that anyone but `domain` may name.
const ANYONES: &[&str] = &["clock", "shutdown", "telemetry"];

/// The table "Who may know whom".
const ROWS: &[Row] = &[
    Row { module: "main", may: &["cli"], never: &["domain", "engine", "store"], never_crates: &[] },
    // lib.rs: the list of modules, and no code.
    Row { module: "", may: &[], never: &[], never_crates: &[] },
    Row { module: "proto", may: &[], never: &["domain", "engine", "store"], never_crates: &[] },
    Row { module: "domain", may: &[], never: &["clock", "engine", "store", "proto"], never_crates: IMPURE },
    Row { module: "clock", may: &["domain::time"], never: &[], never_crates: &[] },
    Row { module: "shutdown", may: &[], never: &[], never_crates: &[] },
    Row { module: "telemetry", may: &[], never: &[], never_crates: &[] },
    Row { module: "config", may: &["domain"], never: &["engine", "store"], never_crates: WIRE },
    Row {
        module: "store",
        may: &["domain"],
        never: &["engine", "hub", "grpc", "proto", "status"],
        never_crates: WIRE,
    },
    Row { module: "hub", may: &["domain"], never: &["store"], never_crates: WIRE },
    Row {
        module: "engine",
        may: &["domain", "store", "hub"],
        never: &["proto", "status", "grpc"],
        never_crates: WIRE,
    },
    Row { module: "status", may: &["engine", "proto"], never: &["store"], never_crates: &[] },
    Row {
        module: "grpc",
        may: &["domain", "engine", "proto", "status", "config"],
        never: &["store"],
        never_crates: &[],
    },
    Row { module: "expiry", may: &["engine"], never: &["store"], never_crates: WIRE },
    Row { module: "client", may: &["proto"], never: &["domain", "engine", "store"], never_crates: &[] },
    Row {
        module: "sidecar",
        may: &["client", "proto", "domain::action", "domain::json", "domain::render"],
        never: &["engine", "store"],
        never_crates: &[],
    },
    Row {
        module: "cli",
        may: &[
            "client",
            "config",
            "proto",
            "server",
            "sidecar",
            "status",
            "domain::policy::suite",
            "domain::render",
            "domain::time",
        ],
        never: &["engine", "store"],
        never_crates: &[],
    },
    // The composition root.
    Row { module: "server", may: &["*"], never: &[], never_crates: &[] },
];

/// What would give the domain I/O, a clock, randomness, tasks, or a form on the wire.
const IMPURE: &[&str] = &[
    "async_trait",
    "getrandom",
    "governor",
    "http",
    "hyper",
    "libsqlite3_sys",
    "prost",
    "rustix",
    "sqlx",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tokio_stream",
    "tokio_util",
    "tonic",
    "tonic_health",
    "tonic_reflection",
    "tonic_types",
    "tower",
    "tracing",
    "tracing_subscriber",
];

/// The wire's crates, which the core under it doesn't know.
const WIRE: &[&str] = &["prost", "tonic", "tonic_health", "tonic_reflection", "tonic_types"];

/// Crates that only some modules may name.
const ONLY: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("libsqlite3_sys", &["store"]),
    ("anyhow", &["main", "cli", "server"]),
    ("clap", &["main", "cli", "config", "sidecar"]),
];

/// Functions that only one module may name, by the last two segments of their paths.
const ONE_PLACE: &[(&str, &[&str], &str)] = &[
    ("SystemTime", &["now"], "clock"),
    ("Utc", &["now"], "clock"),
    ("Local", &["now"], "clock"),
    ("getrandom", &["fill"], "clock"),
    ("Status", STATUS_CONSTRUCTORS, "status"),
    ("StatusExt", &["with_error_details", "with_error_details_vec"], "status"),
];

const STATUS_CONSTRUCTORS: &[&str] = &[
    "aborted",
    "already_exists",
    "cancelled",
    "data_loss",
    "deadline_exceeded",
    "failed_precondition",
    "from_error",
    "internal",
    "invalid_argument",
    "new",
    "not_found",
    "ok",
    "out_of_range",
    "permission_denied",
    "resource_exhausted",
    "unauthenticated",
    "unavailable",
    "unimplemented",
    "unknown",
    "with_details",
    "with_details_and_metadata",
    "with_error_details",
    "with_error_details_vec",
    "with_metadata",
];

/// Names for files that say nothing about what is in them.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "misc", "types", "util", "utils"];

const FILE_LINES_MAX: usize = 500;
const MAIN_LINES_MAX: usize = 29;

/// Whether a path is the given one, or lies under it.
fn is_under(path: &[String], root: &str) -> bool {
    let root: Vec<&str> = root.split("::").collect();
    path.len() >= root.len() && path.iter().zip(root).all(|(segment, expected)| segment == expected)
}

/// The name of the row that a module belongs to.
fn row_name(module: &[String]) -> &str {
    module.first().map_or("", String::as_str)
}

/// What is wrong with a file's naming a path; `None` where the table lets it.
fn fault_of_name(module: &str, row: &Row, name: &Name) -> Option<String> {
    let path = name.path.join("::");
    let first = row_name(&name.path);
    if name.ours {
        if first.is_empty() || first == "*" {
            return Some("names the crate's root as a whole; name the module".to_owned());
        }
        let allowed = first == row.module
            || (ANYONES.contains(&first) && module != "domain")
            || row.may.iter().any(|may| *may == "*" || is_under(&name.path, may));
        return (!allowed).then(|| format!("`{module}` must not name `crate::{path}`"));
    }
    let elsewhere = ONLY.iter().find(|(only, places)| *only == first && !places.contains(&module));
    let never = row.never_crates.iter().any(|never| is_under(&name.path, never));
    (never || elsewhere.is_some()).then(|| format!("`{module}` must not name `{path}`"))
}

/// What is wrong with where a function is named; `None` where it may be.
fn fault_of_place(module: &str, name: &Name) -> Option<String> {
    let path: Vec<&str> = name.path.iter().map(String::as_str).collect();
    let (_, _, place) = ONE_PLACE.iter().find(|(owner, functions, place)| {
        *place != module && path.windows(2).any(|pair| pair[0] == *owner && functions.contains(&pair[1]))
    })?;
    Some(format!("`{}` belongs in `{place}` alone", path.join("::")))
}

/// Every fault in what a file names, each with its place.
fn faults(file: &SourceFile) -> Vec<String> {
    let module = row_name(&file.module);
    let Some(row) = ROWS.iter().find(|row| row.module == module) else {
        return vec![format!("{}: `{module}` has no row in the table of tests/it/layering.rs", file.path)];
    };
    let mut found = Vec::new();
    for name in names(&file.module, &file.tokens) {
        for fault in [fault_of_name(module, row, &name), fault_of_place(module, &name)].into_iter().flatten()
        {
            found.push(format!("{}:{}: {fault}", file.path, name.line));
        }
    }
    for token in file.tokens.iter().filter(|token| module == "domain" && token.text == "async") {
        found.push(format!("{}:{}: `domain` has no async code", file.path, token.line));
    }
    // An alias would hide the name that the tables know, and a path attribute the module that a file is.
    let words = texts(&file.tokens);
    for window in
        words.windows(3).filter(|window| matches!(window, ["Status" | "SystemTime" | "Utc", "as", _]))
    {
        found.push(format!("{}: `{}` must keep its name", file.path, window[0]));
    }
    if words.windows(4).any(|window| window == ["#", "[", "path", "="]) {
        found.push(format!("{}: a file's path says which module it is", file.path));
    }
    found
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn modules_name_only_what_the_table_lets_them() {
    assert_none(&source_files().iter().flat_map(faults).collect::<Vec<_>>());
}

#[test]
fn the_table_agrees_with_itself() {
    for row in ROWS {
        for never in row.never {
            assert!(!row.may.contains(never), "`{}` may and must never name `{never}`", row.module);
        }
        for known in row.may.iter().chain(row.never).filter(|known| **known != "*") {
            let top = known.split("::").next().unwrap_or_default();
            assert!(
                ROWS.iter().any(|row| row.module == top),
                "`{known}` in the row of `{}` has no row",
                row.module
            );
        }
        assert_eq!(
            ROWS.iter().filter(|other| other.module == row.module).count(),
            1,
            "rows of `{}`",
            row.module
        );
    }
}

#[test]
fn files_are_named_for_what_is_in_them() {
    let mut found = Vec::new();
    for file in source_files() {
        if file.path.ends_with("/mod.rs") {
            found.push(format!("{}: `x.rs` and `x/`, never `x/mod.rs`", file.path));
        }
        if let Some(name) = file.module.iter().find(|segment| EMPTY_NAMES.contains(&segment.as_str())) {
            found.push(format!("{}: `{name}` says nothing about what is in it", file.path));
        }
    }
    assert_none(&found);
}

#[test]
fn files_are_short_enough_to_read() {
    let mut found = Vec::new();
    for file in source_files() {
        let lines_max = if file.path == "src/main.rs" { MAIN_LINES_MAX } else { FILE_LINES_MAX };
        if file.lines > lines_max {
            found.push(format!("{}: {} lines, {lines_max} at most", file.path, file.lines));
        }
    }
    assert_none(&found);
}

#[test]
fn lib_rs_is_the_list_of_modules_and_no_code() {
    let library = read("src/lib.rs");
    let code: Vec<&str> = library
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("//!") && !line.starts_with("#!["))
        .filter(|line| !(line.starts_with("pub mod ") && line.ends_with(';')))
        .collect();
    assert_eq!(code, [""; 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tokens;

    /// The faults of a file that stands at the given module and holds the given text.
    fn faults_of(module: &str, text: &str) -> Vec<String> {
        let module = module.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        faults(&SourceFile { path: "f".to_owned(), module, tokens: tokens(text), lines: 1 })
    }

    fn is_fault(module: &str, text: &str) -> bool {
        !faults_of(module, text).is_empty()
    }

    #[test]
    fn a_lower_layer_may_not_name_a_higher_one() {
        assert!(is_fault("domain::policy", "use crate::engine::Engine;"));
        assert!(is_fault("domain", "use crate::{domain::id, clock::Clock};"));
        assert!(is_fault("store::sqlite::writer", "use super::super::super::hub::Hub;"));
        assert!(is_fault("hub", "fn f() { crate::store::open() }"));
        assert!(is_fault("engine::error", "use crate::{domain::{id::{A}}, proto::v1::{B, C}};"));
        assert!(is_fault("status", "impl From<crate::store::StoreError> for X {}"));
        assert!(is_fault("client", "use crate::domain::action::Action;"));
        assert!(is_fault("cli::approvals", "use crate::domain::policy::Policy;"));
        assert!(is_fault("domain", "use crate::clock::Clock;"));
        assert!(is_fault("main", "fn main() { callgate::engine::run() }"));
    }

    #[test]
    fn a_layer_may_name_what_the_table_lets_it() {
        assert_eq!(
            faults_of("engine::decide", "use crate::{clock::Clock, domain::*, store, hub::Hub};"),
            [""; 0]
        );
        assert_eq!(
            faults_of("cli::approvals", "use super::output; use crate::domain::render::render;"),
            [""; 0]
        );
        assert_eq!(faults_of("client", "use crate::{clock, shutdown::Tasks};"), [""; 0]);
        assert_eq!(faults_of("sidecar", "use crate::domain::{action::Action, json};"), [""; 0]);
        assert_eq!(faults_of("server", "use crate::{engine, store, grpc};"), [""; 0]);
        assert_eq!(faults_of("store::sqlite", "use sqlx::query; async fn f() { tokio::x() }"), [""; 0]);
        assert_eq!(faults_of("domain::audit", "use super::id::Id; use sha2::Digest; use std::fmt;"), [""; 0]);
        assert_eq!(faults_of("", "pub mod engine; pub mod store;"), [""; 0]);
    }

    #[test]
    fn the_whole_crate_may_not_be_brought_in() {
        assert!(is_fault("engine", "use crate::*;"));
        assert!(is_fault("domain::id", "use super::super as root;"));
    }

    #[test]
    fn crates_stay_in_their_layers() {
        assert!(is_fault("domain", "fn f() { tracing::info!(\"x\") }"));
        assert!(is_fault("domain::time", "use std::{fmt, time::{Duration, SystemTime}};"));
        assert!(is_fault("domain", "use tokio as t;"));
        assert!(is_fault("engine", "fn f() -> tonic::Status { g() }"));
        assert!(is_fault("engine", "use sqlx::Row;"));
        assert!(is_fault("grpc::gate", "extern crate sqlx;"));
        assert!(is_fault("grpc::gate", "use anyhow::Context as _;"));
    }

    #[test]
    fn the_domain_has_no_async_code() {
        assert!(is_fault("domain", "pub async fn f() {}"));
        assert!(is_fault("domain", "fn f() { async move {} }"));
    }

    #[test]
    fn codes_and_times_have_one_place() {
        assert!(is_fault("grpc::gate", "use tonic::Status; fn f() { Err(Status::not_found(\"x\")) }"));
        assert!(is_fault("grpc::gate", "fn f() { tonic::Status::new(c, m) }"));
        assert!(is_fault("grpc::gate", "use tonic::Status as S;"));
        assert!(!is_fault("status", "fn f() { tonic::Status::new(c, m) }"));
        assert!(is_fault("engine", "fn f() { x.map(std::time::SystemTime::now) }"));
        assert!(is_fault("store::sqlite", "use chrono::Utc; fn f() { Utc::now() }"));
        assert!(!is_fault("clock", "fn f() { chrono::Utc::now() }"));
    }

    #[test]
    fn a_module_without_a_row_is_a_fault() {
        assert!(is_fault("unheard_of", ""));
    }
}
