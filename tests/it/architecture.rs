//! The shape of the house: which crate may know which, and rules of the sources that no lint knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Every crate of the product, its level, and those of our crates it depends on.
const CRATES: &[(&str, u8, &[&str])] = &[
    (
        "causeway",
        4,
        &[
            "blobs",
            "broker",
            "consumer-outbound",
            "email",
            "genesys",
            "genesys-outbound",
            "ingress",
            "ledger",
            "model",
            "receipt-emitter",
            "runtime",
            "sandbox",
            "sms",
            "webhook-ingest",
        ],
    ),
    ("ingress", 3, &["blobs", "broker", "email", "ledger", "model", "runtime", "sms"]),
    ("genesys-outbound", 3, &["blobs", "broker", "genesys", "ledger", "model", "runtime", "sms"]),
    ("webhook-ingest", 3, &["broker", "genesys", "model", "runtime"]),
    ("consumer-outbound", 3, &["blobs", "broker", "email", "genesys", "ledger", "model", "runtime", "sms"]),
    ("receipt-emitter", 3, &["broker", "genesys", "ledger", "model", "runtime"]),
    // The neighbours are simulated from their documents: wire types shared with our doors could be wrong together.
    ("sandbox", 3, &["runtime"]),
    ("blobs", 2, &["model", "runtime"]),
    ("genesys", 2, &["model", "runtime"]),
    ("sms", 2, &["model", "runtime"]),
    ("email", 2, &["model", "runtime"]),
    ("broker", 2, &["model", "runtime"]),
    ("ledger", 2, &["model", "runtime"]),
    ("model", 1, &[]),
    ("runtime", 1, &[]),
];

/// A file longer than this has more than one subject.
const MOST_LINES: usize = 450;

// In two pieces, for this file is searched as well.
const ALLOW: &str = concat!("[al", "low(");
const SLEEP: &str = concat!("sle", "ep(");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().expect("cargo metadata answers")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below a folder of the workspace, by its path from the root.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = root();
    let mut folders = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = read(&path);
                found.push((path.strip_prefix(&root).expect("it is below").to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no source");
    found
}

fn none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn crates_know_only_those_the_table_names() {
    let metadata = metadata();
    let members = metadata.workspace_packages();
    let names: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
    let product = root().join("crates");
    let mut actual = BTreeMap::new();
    for package in members {
        if !package.manifest_path.as_std_path().starts_with(&product) {
            continue;
        }
        let edges: BTreeSet<&str> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development)
            .map(|dependency| dependency.name.as_str())
            .filter(|name| names.contains(name))
            .collect();
        let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
        assert_eq!(folder, Some(package.name.as_str()), "a crate is called as its folder");
        actual.insert(package.name.as_str(), edges);
    }
    let allowed: BTreeMap<_, BTreeSet<_>> =
        CRATES.iter().map(|(name, _, edges)| (*name, edges.iter().copied().collect())).collect();
    assert_eq!(actual, allowed, "left: the manifests under crates/, right: the table of this test");
}

#[test]
fn the_table_points_only_down() {
    let levels: BTreeMap<&str, u8> = CRATES.iter().map(|(name, level, _)| (*name, *level)).collect();
    for (name, level, edges) in CRATES {
        for edge in *edges {
            assert!(levels[edge] < *level, "{name} (level {level}) may not depend on {edge} (level {})", levels[edge]);
        }
    }
}

#[test]
fn the_map_names_every_crate() {
    let map = read(&root().join("ARCHITECTURE.md"));
    let missing: Vec<String> =
        CRATES.iter().map(|(name, _, _)| format!("`{name}`")).filter(|name| !map.contains(name)).collect();
    none(&missing, "ARCHITECTURE.md does not name");
}

/// One place says which version of everything is used: the root manifest.
#[test]
fn no_crate_names_a_version() {
    let mut found = Vec::new();
    for (name, _, _) in CRATES {
        let manifest = read(&root().join("crates").join(name).join("Cargo.toml"));
        let mut section = "";
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            }
            let names_one = line.starts_with("version =") || line.contains("version = \"");
            let entry = section.ends_with("dependencies]") && line.contains('=') && !line.starts_with('#');
            let inherits = line.contains("workspace = true") || line.contains("path = \".\"");
            if names_one || (entry && !inherits) || section.contains("dependencies.") {
                found.push(format!("crates/{name}/Cargo.toml: {line}"));
            }
        }
    }
    none(&found, "these belong into [workspace.dependencies]");
}

#[test]
fn files_have_one_subject() {
    let long = sources("crates").into_iter().map(|(path, text)| (path, text.lines().count()));
    let long: Vec<String> = long
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    none(&long, "files longer than 450 lines");
}

#[test]
fn lints_are_expected_with_a_reason() {
    let found: Vec<String> = sources("crates")
        .into_iter()
        .chain(sources("tests"))
        .filter(|(_, text)| text.contains(ALLOW))
        .map(|(path, _)| path.display().to_string())
        .collect();
    none(&found, "write expect with a reason instead of allow");
}

/// A test that waits for a time instead of a condition is slow on a good day and wrong on a bad one.
#[test]
fn tests_wait_for_conditions() {
    let found: Vec<String> = sources("crates")
        .into_iter()
        .filter(|(path, _)| is_test(path))
        .chain(sources("tests"))
        .filter(|(_, text)| text.contains(SLEEP))
        .map(|(path, _)| path.display().to_string())
        .collect();
    none(&found, "tests that sleep");
}

fn is_test(path: &Path) -> bool {
    let folder = path.components().any(|part| part.as_os_str() == "tests");
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    folder || name == "tests" || name.ends_with("_test") || name == "contract"
}
