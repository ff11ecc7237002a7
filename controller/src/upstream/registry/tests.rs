//! Uses a fake registry, well-behaved or hostile. `tests/controller/upstream.rs` has a real
//! one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;

use super::*;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

type Script = Arc<dyn Fn(&Request<Body>) -> Response<Body> + Send + Sync>;
type Log = Arc<Mutex<Vec<String>>>;

/// A fake registry that responds as scripted. The log contains method, path and authorization of each request.
async fn registry(script: impl Fn(&Request<Body>) -> Response<Body> + Send + Sync + 'static) -> (SocketAddr, Log) {
    async fn response(State((script, log)): State<(Script, Log)>, request: Request) -> Response {
        let authorization = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let line = format!(
            "{} {} {}",
            request.method(),
            request.uri(),
            authorization.unwrap_or("-")
        );
        log.lock().unwrap().push(line);
        script(&request)
    }
    let log = Log::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .fallback(response)
        .with_state((Arc::new(script) as Script, log.clone()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, log)
}

fn status(code: u16) -> http::response::Builder {
    Response::builder().status(code)
}

fn found() -> Response<Body> {
    status(200)
        .header("Docker-Content-Digest", DIGEST)
        .body(Body::empty())
        .unwrap()
}

async fn resolve(address: SocketAddr, credential: Option<&'static str>) -> Result<String, RegistryError> {
    let image = ImageReference::parse(&format!("{address}/team/base:v1")).unwrap();
    let registries = RegistryClient::new(&Network::default(), Vec::new()).unwrap();
    registries
        .digest(&image, credential.map(HeaderValue::from_static), true)
        .await
}

fn lines(log: &Log) -> Vec<String> {
    log.lock().unwrap().clone()
}

#[tokio::test]
async fn a_public_registry_gets_one_request() {
    let (address, log) = registry(|_| found()).await;
    assert_eq!(resolve(address, Some("Basic x")).await, Ok(DIGEST.to_owned()));
    assert_eq!(
        lines(&log),
        ["HEAD /v2/team/base/manifests/v1 -"],
        "and sees no credential that it did not ask for"
    );
}

#[tokio::test]
async fn basic_authentication_sends_the_credential() {
    let script = |request: &Request<Body>| match request.headers().get(AUTHORIZATION) {
        Some(value) if value == "Basic x" => found(),
        _ => status(401)
            .header(WWW_AUTHENTICATE, "Basic realm=\"r\"")
            .body(Body::empty())
            .unwrap(),
    };
    let (address, _) = registry(script).await;
    assert_eq!(resolve(address, Some("Basic x")).await, Ok(DIGEST.to_owned()));
    assert_eq!(
        resolve(address, Some("Basic y")).await,
        Err(RegistryError::Unauthorized)
    );
    assert_eq!(resolve(address, None).await, Err(RegistryError::Unauthorized));
}

#[tokio::test]
async fn bearer_authentication_requests_a_token() {
    let script = |request: &Request<Body>| {
        if request.uri().path() == "/token" {
            return status(200).body(Body::from(r#"{"token":"t"}"#)).unwrap();
        }
        match request.headers().get(AUTHORIZATION) {
            Some(value) if value == "Bearer t" => found(),
            _ => {
                let host = request.headers()["host"].to_str().unwrap();
                let wanted = format!("Bearer realm=\"http://{host}/token\",service=\"s&x\"");
                status(401)
                    .header(WWW_AUTHENTICATE, wanted)
                    .body(Body::empty())
                    .unwrap()
            }
        }
    };
    let (address, log) = registry(script).await;
    assert_eq!(resolve(address, Some("Basic x")).await, Ok(DIGEST.to_owned()));
    assert_eq!(
        lines(&log),
        [
            "HEAD /v2/team/base/manifests/v1 -",
            "GET /token?scope=repository%3Ateam%2Fbase%3Apull&service=s%26x Basic x",
            "HEAD /v2/team/base/manifests/v1 Bearer t",
        ]
    );
}

#[tokio::test]
async fn without_the_header_the_digest_is_computed() {
    let (address, log) = registry(|request| {
        let body = if request.method() == Method::GET { "{}" } else { "" };
        status(200).body(Body::from(body)).unwrap()
    })
    .await;
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    assert_eq!(resolve(address, None).await, Ok(digest.to_owned()));
    assert_eq!(lines(&log).len(), 2);
}

#[tokio::test]
async fn each_status_has_its_error() {
    let busy = RegistryError::Busy(Duration::from_secs(120));
    for (code, wanted) in [
        (404, RegistryError::NotFound),
        (403, RegistryError::Unauthorized),
        (429, busy),
        (503, busy),
        (418, RegistryError::InvalidResponse),
        (204, RegistryError::InvalidResponse),
    ] {
        let (address, _) =
            registry(move |_| status(code).header(RETRY_AFTER, "120").body(Body::empty()).unwrap()).await;
        assert_eq!(resolve(address, None).await, Err(wanted), "{code}");
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(resolve(gone, None).await, Err(RegistryError::Unreachable));
}

#[tokio::test]
async fn redirects_are_limited_and_drop_the_credential() {
    let (elsewhere, seen) = registry(|_| found()).await;
    let to = format!("http://{elsewhere}/v2/team/base/manifests/v1");
    let (address, _) = registry(move |_| status(307).header(LOCATION, &to).body(Body::empty()).unwrap()).await;
    assert_eq!(
        resolve(address, Some("Basic x")).await,
        Err(RegistryError::InvalidResponse),
        "plain HTTP elsewhere"
    );
    assert_eq!(lines(&seen), Vec::<String>::new());

    let (address, log) = registry(|_| status(307).header(LOCATION, "/again").body(Body::empty()).unwrap()).await;
    assert_eq!(resolve(address, None).await, Err(RegistryError::InvalidResponse));
    assert_eq!(lines(&log).len(), 1 + MAX_REDIRECTS);
}

#[tokio::test]
async fn hostile_responses_are_bounded() {
    let endless = || {
        let chunk = Bytes::from(vec![b'x'; 1 << 16]);
        Body::from_stream(futures::stream::repeat_with(move || {
            Ok::<_, std::io::Error>(chunk.clone())
        }))
    };
    // A manifest, and a token, without end.
    let (address, _) = registry(move |request| {
        let body = if request.method() == Method::GET {
            endless()
        } else {
            Body::empty()
        };
        status(200).body(body).unwrap()
    })
    .await;
    assert_eq!(resolve(address, None).await, Err(RegistryError::InvalidResponse));
    let (address, _) = registry(move |request| {
        if request.uri().path() == "/token" {
            return status(200).body(endless()).unwrap();
        }
        let host = request.headers()["host"].to_str().unwrap();
        let wanted = format!("Bearer realm=\"http://{host}/token\"");
        status(401)
            .header(WWW_AUTHENTICATE, wanted)
            .body(Body::empty())
            .unwrap()
    })
    .await;
    assert_eq!(resolve(address, None).await, Err(RegistryError::InvalidResponse));
    // Digests and realms that are none.
    for text in ["sha256:short", "sha512:00", "$(id)", "ÿ"] {
        let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
        let (address, _) = registry(move |_| {
            status(200)
                .header(CONTENT_DIGEST, value.clone())
                .body(Body::empty())
                .unwrap()
        })
        .await;
        assert_eq!(
            resolve(address, None).await,
            Err(RegistryError::InvalidResponse),
            "{text}"
        );
    }
    for realm in [
        "file:///etc/passwd",
        "http://user:password@127.0.0.1/",
        "nonsense",
        "ftp://127.0.0.1/",
    ] {
        let wanted = format!("Bearer realm=\"{realm}\"");
        let (address, log) = registry(move |_| {
            status(401)
                .header(WWW_AUTHENTICATE, &wanted)
                .body(Body::empty())
                .unwrap()
        })
        .await;
        assert_eq!(
            resolve(address, Some("Basic x")).await,
            Err(RegistryError::InvalidResponse),
            "{realm}"
        );
        assert_eq!(lines(&log).len(), 1);
    }
}

#[test]
fn docker_hub_has_its_own_host() {
    for (image, host, repository) in [
        ("python:3.12", "registry-1.docker.io", "library/python"),
        ("docker.io/jupyter/base:x", "registry-1.docker.io", "jupyter/base"),
        ("quay.io/a/b:v1", "quay.io", "a/b"),
        ("localhost:5000/a:v1", "localhost:5000", "a"),
    ] {
        let image = ImageReference::parse(image).unwrap();
        assert_eq!(address(&image), (host.to_owned(), repository.to_owned()));
    }
}

/// A proxy that opens tunnels. The log contains the head of each request.
async fn proxy() -> (SocketAddr, Log) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let log = Log::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = log.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let heads = heads.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let to = head.split_whitespace().nth(1).unwrap().to_owned();
                heads.lock().unwrap().push(head);
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut server = tokio::net::TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, log)
}

#[tokio::test]
async fn the_configured_proxy_is_used_except_for_no_proxy_hosts() {
    let (address, _) = registry(|_| found()).await;
    let (proxy, log) = proxy().await;
    let image = ImageReference::parse(&format!("{address}/team/base:v1")).unwrap();
    let mut network = Network {
        http_proxy: format!("http://us:word@{proxy}"),
        ..Network::default()
    };
    let registries = RegistryClient::new(&network, Vec::new()).unwrap();
    assert_eq!(registries.digest(&image, None, true).await, Ok(DIGEST.to_owned()));
    let heads = std::mem::take(&mut *log.lock().unwrap());
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(
        heads[0].starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")),
        "{heads:?}"
    );
    let lower = heads[0].to_ascii_lowercase();
    assert!(
        lower.contains("\r\nproxy-authorization: basic dxm6d29yza==\r\n"),
        "{heads:?}"
    );

    network.no_proxy = vec![address.ip().to_string()];
    let registries = RegistryClient::new(&network, Vec::new()).unwrap();
    assert_eq!(registries.digest(&image, None, true).await, Ok(DIGEST.to_owned()));
    assert!(log.lock().unwrap().is_empty());

    network.no_proxy = Vec::new();
    network.http_proxy = "http://127.0.0.1:9".to_owned();
    let registries = RegistryClient::new(&network, Vec::new()).unwrap();
    assert_eq!(
        registries.digest(&image, None, true).await,
        Err(RegistryError::Unreachable)
    );
}
