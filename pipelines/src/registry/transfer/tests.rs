use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use super::*;

const IDLE: Duration = Duration::from_secs(1);
/// More than the kernel buffers for a connection.
const LARGE: usize = 40 << 20;

/// How the fake registry transfers a blob.
#[derive(Clone, Copy)]
enum Speed {
    /// Reads an upload with 8 MiB/s, and sends a download in ten pieces, each after a third of the idle time.
    Slow,
    /// Neither reads nor writes after the first MiB of an upload, or the first byte of a download.
    Stalled,
    /// Reads an upload at once, and never responds to it.
    Silent,
}

/// A fake registry without TLS. Its receive buffer is small, so that a client can only send what was read.
fn fake_slow_registry(speed: Speed) -> (Registry, Reference) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let listener = socket.listen(8).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, speed));
        }
    });
    let network = cnbi_shared::config::Network {
        insecure_registries: vec![host.clone()],
        ..Default::default()
    };
    let auth = oci_client::secrets::RegistryAuth::Anonymous;
    let registry = Registry::with_idle_timeout(&network, &[], auth, IDLE).unwrap();
    (registry, format!("{host}/a/b:v1").parse().unwrap())
}

async fn serve(stream: TcpStream, speed: Speed) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let head = match first.split(' ').next() {
        Some("GET") => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
                .await?;
            for _ in 0..10 {
                stream.write_all(b"x").await?;
                stream.flush().await?;
                sleep(if matches!(speed, Speed::Slow) {
                    IDLE / 3
                } else {
                    IDLE * 60
                })
                .await;
            }
            return Ok(());
        }
        Some("POST") => "202 Accepted\r\nLocation: /v2/a/b/blobs/uploads/1",
        Some("PUT") => {
            receive(&mut stream, length, speed).await?;
            "201 Created\r\nLocation: /v2/a/b/blobs/1"
        }
        _ => "404 Not Found",
    };
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await
}

async fn receive(stream: &mut BufReader<TcpStream>, length: usize, speed: Speed) -> io::Result<()> {
    let (mut piece, mut count) = (vec![0; 64 << 10], 0);
    while count < length {
        match stream.read(&mut piece).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => count += read,
        }
        match speed {
            Speed::Slow => sleep(Duration::from_millis(8)).await,
            Speed::Stalled if count > 1 << 20 => sleep(IDLE * 60).await,
            Speed::Stalled | Speed::Silent => {}
        }
    }
    if matches!(speed, Speed::Silent) {
        sleep(IDLE * 60).await;
    }
    Ok(())
}

async fn upload(speed: Speed, size: usize) -> (Result<(), RegistryError>, Duration) {
    let (registry, reference) = fake_slow_registry(speed);
    let (bytes, digest) = (io::Cursor::new(vec![7; size]), format!("sha256:{}", "0".repeat(64)));
    let start = Instant::now();
    let result = registry.upload(&reference, &digest, size as u64, bytes).await;
    (result, start.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_take_several_times_the_idle_timeout_while_it_makes_progress() {
    let (result, time) = upload(Speed::Slow, LARGE).await;
    assert_eq!(result, Ok(()));
    assert!(time > IDLE * 3, "{time:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_upload_fails_after_the_idle_timeout() {
    let (result, time) = upload(Speed::Stalled, LARGE).await;
    let message = result.unwrap_err();
    assert_eq!(
        message,
        RegistryError::Unavailable("the upload made no progress for 1 s".to_owned())
    );
    assert!(time >= IDLE && time < IDLE * 10, "{time:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_upload_without_a_response_fails() {
    let (result, time) = upload(Speed::Silent, 1000).await;
    let message = result.unwrap_err();
    assert_eq!(
        message,
        RegistryError::Unavailable("the registry did not confirm the upload within 5 s".to_owned())
    );
    assert!(time >= IDLE * RESPONSE, "{time:?}");
}

async fn download(speed: Speed) -> Result<(), String> {
    let (registry, reference) = fake_slow_registry(speed);
    let digest = crate::registry::layout::digest(b"xxxxxxxxxx");
    let layer: Descriptor = serde_json::from_value(serde_json::json!({"digest": digest, "size": 10})).unwrap();
    let result = registry
        .download(&reference, &layer, tempfile::tempfile().unwrap())
        .await;
    result.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_download_may_take_several_times_the_idle_timeout_while_it_makes_progress() {
    assert_eq!(download(Speed::Slow).await, Ok(()));
}

#[tokio::test]
async fn a_stalled_download_fails() {
    let start = Instant::now();
    assert!(download(Speed::Stalled).await.unwrap_err().contains("registry"));
    assert!(start.elapsed() < IDLE * 10);
}
