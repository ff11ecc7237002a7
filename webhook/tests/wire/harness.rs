//! A webhook on loopback with real TLS, and a client for it. Only its lookups are fake.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cnbi_runtime::configuration::Configuration;
use cnbi_shared::active_config::ObservedConfigMap;
use cnbi_shared::config::SHIPPED;
use cnbi_webhook::body_budget::BodyBudget;
use cnbi_webhook::concurrency_limit::ConcurrencyLimit;
use cnbi_webhook::connections::ConnectionTable;
use cnbi_webhook::facts::FactSource;
use cnbi_webhook::metrics::Metrics;
use cnbi_webhook::reviewer::Reviewer;
use cnbi_webhook::routes::{Service, router};
use cnbi_webhook::serve::{Phase, Server, Timeouts};
use cnbi_webhook::tls::{Clients, Tls};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::gauge::Gauge;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A running webhook.
pub struct Webhook {
    pub address: SocketAddr,
    pub configuration: Arc<Configuration>,
    pub metrics: Arc<Metrics>,
    pub open: Gauge,
    pub phase: watch::Sender<Phase>,
    pub running: JoinHandle<()>,
    pub tls: Tls,
    connector: TlsConnector,
}

/// Settings of a webhook.
pub struct Setup {
    pub source: Arc<dyn FactSource>,
    pub in_flight: usize,
    pub queue: usize,
    pub fact_limit: Duration,
    pub request_limit: Duration,
    pub timeouts: Timeouts,
    pub connections: usize,
    pub body_memory: usize,
    pub clients: Clients,
    pub client_identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
}

impl Setup {
    pub fn new(source: Arc<dyn FactSource>) -> Self {
        Self {
            source,
            in_flight: 64,
            queue: 64,
            fact_limit: Duration::from_secs(60),
            request_limit: Duration::from_secs(60),
            timeouts: Timeouts::default(),
            connections: 1024,
            body_memory: 32 << 20,
            clients: Clients::default(),
            client_identity: None,
        }
    }

    pub async fn start(self) -> Webhook {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let certified = CertifiedKey::new(vec![issued.cert.der().clone()], key);
        let resolver = Arc::new(SingleCertAndKey::from(certified));

        let configuration = Arc::new(Configuration::new("cnbi-system", "cnbi-config"));
        configuration.observe(present(SHIPPED, "1"));
        let metrics = Arc::new(Metrics::default());
        let open = metrics.review_connections();
        let connections = Arc::new(ConnectionTable::new(self.connections, open.clone()));
        let service = Arc::new(Service {
            reviewer: Reviewer {
                configuration: Arc::clone(&configuration),
                source: self.source,
                metrics: Arc::clone(&metrics),
                fact_limit: self.fact_limit,
            },
            body_budget: BodyBudget::new(self.body_memory, Arc::clone(&connections)),
            concurrency_limit: ConcurrencyLimit::new(self.in_flight, self.queue),
            timeout: self.request_limit,
        });
        let tls = Tls::new(resolver, &self.clients).unwrap();
        let server = Server {
            listener,
            tls: Some(tls.clone()),
            router: router(service),
            timeouts: self.timeouts,
            connections,
        };
        let (phase, phases) = watch::channel(Phase::Serving);

        let mut roots = RootCertStore::empty();
        roots.add(issued.cert.der().clone()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots);
        let mut client = match self.client_identity {
            None => client.with_no_client_auth(),
            Some((certificate, key)) => client.with_client_auth_cert(vec![certificate], key).unwrap(),
        };
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Webhook {
            address,
            configuration,
            metrics,
            open: open.open,
            phase,
            running: tokio::spawn(server.run(phases)),
            tls,
            connector: TlsConnector::from(Arc::new(client)),
        }
    }
}

pub fn present(yaml: &str, version: &str) -> ObservedConfigMap {
    ObservedConfigMap::Present {
        yaml: Some(yaml.to_owned()),
        version: version.to_owned(),
    }
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// `response` of the AdmissionReview in the body.
    pub fn response(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        let review: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(review["kind"], "AdmissionReview");
        review["response"].clone()
    }
}

/// One connection, kept alive.
pub struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, hyper::Error> {
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        let (head, body) = response.into_parts();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(review_request(path, body)).await.unwrap()
    }
}

pub fn review_request(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

impl Webhook {
    /// A TLS connection on which nothing has been sent yet.
    pub async fn dial(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        self.connector
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await
    }

    pub async fn client(&self) -> Client {
        self.try_client().await.unwrap()
    }

    /// A client, or why it could not connect.
    pub async fn try_client(&self) -> std::io::Result<Client> {
        let stream = self.dial().await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Ok(Client(sender))
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.client().await.post(path, body).await
    }
}
