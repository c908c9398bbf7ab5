use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

use super::*;

struct Socket {
    folder: tempfile::TempDir,
    path: PathBuf,
}

fn socket() -> Socket {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/control.sock");
    Socket { folder, path }
}

async fn open(path: &Path, shutdown: &Shutdown) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let serving = serve_unix(path.to_owned(), router(), shutdown.clone()).await?;
    let mut server = JoinSet::new();
    server.spawn(serving);
    Ok(server)
}

async fn greet(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

async fn ended(mut server: JoinSet<anyhow::Result<()>>) {
    timeout(PATIENCE, server.join_next()).await.unwrap().unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_owner_alone_is_served_and_the_file_goes_with_the_server() {
    let Socket { folder: _folder, path } = socket();
    let shutdown = Shutdown::new();
    let server = open(&path, &shutdown).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(greet(&path).await.ends_with("hello"));
    shutdown.begin();
    ended(server).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_second_server_is_refused_and_the_first_goes_on() {
    let Socket { folder: _folder, path } = socket();
    let shutdown = Shutdown::new();
    let _server = open(&path, &shutdown).await.unwrap();
    let error = format!("{:#}", open(&path, &shutdown).await.unwrap_err());
    assert!(error.contains("another process serves there") && error.contains("control.sock"), "{error}");
    assert!(greet(&path).await.ends_with("hello"));
}

#[tokio::test]
async fn a_socket_left_behind_is_taken_over_and_other_files_are_not() {
    let Socket { folder, path } = socket();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    // Closing a listener leaves its file behind, as a killed process does.
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists());
    let _server = open(&path, &Shutdown::new()).await.unwrap();
    assert!(greet(&path).await.ends_with("hello"));

    let precious = folder.path().join("ledger.db");
    std::fs::write(&precious, "precious").unwrap();
    let error = format!("{:#}", open(&precious, &Shutdown::new()).await.unwrap_err());
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
}

#[tokio::test]
async fn a_successors_socket_is_left_alone() {
    let Socket { folder: _folder, path } = socket();
    let shutdown = Shutdown::new();
    let server = open(&path, &shutdown).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let _successor = open(&path, &Shutdown::new()).await.unwrap();
    shutdown.begin();
    ended(server).await;
    assert!(greet(&path).await.ends_with("hello"));
}
