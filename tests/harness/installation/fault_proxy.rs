//! A proxy between a program and the API server that delays, breaks or replaces responses.
//!
//! The program connects by plain HTTP and sends its own token; requests that pass get the real response.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use http::{StatusCode, header};
use kube::Client;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::control_plane::connect;

/// Most of a request's body, in bytes.
const LIMIT: usize = 4 << 20;

/// What is done to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAction {
    /// It is passed on.
    Pass,
    /// It is passed on after a while.
    Late(Duration),
    /// It is never answered.
    Never,
    /// The connection breaks in the middle of the answer.
    CutOff,
    /// It is answered with this status and body, and the API server never hears of it.
    Respond(u16, String),
}

type Rule = Arc<dyn Fn(&str) -> ProxyAction + Send + Sync>;

/// A proxy; gone when it is dropped.
pub struct FaultProxy {
    url: String,
    rule: Arc<Mutex<Rule>>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts one before the API server that a kubeconfig leads to. It passes on everything.
    pub async fn start(kubeconfig: &Path) -> Result<Self> {
        let mut kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        // Whoever asks says who it is.
        for user in &mut kubeconfig.auth_infos {
            user.auth_info = Some(AuthInfo::default());
        }
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.proxy_url = None;
        let client = connect(config)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening")?;
        let url = format!("http://{}", listener.local_addr()?);
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Arc::new(|_| ProxyAction::Pass)));
        let router = Router::new().fallback({
            let rule = Arc::clone(&rule);
            move |request: Request| {
                let rule = Arc::clone(&rule.lock().unwrap_or_else(PoisonError::into_inner));
                let client = client.clone();
                async move {
                    let action = rule(request.uri().path());
                    apply_action(&client, request, action).await.unwrap_or_else(|error| {
                        let text = format!("{error:#}");
                        (StatusCode::BAD_GATEWAY, text).into_response()
                    })
                }
            }
        });
        let task = tokio::spawn(async move {
            // It serves until it is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, rule, task })
    }

    /// Where the program finds it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on does this to requests, by their URL path.
    pub fn set(&self, rule: impl Fn(&str) -> ProxyAction + Send + Sync + 'static) {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rule);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn apply_action(client: &Client, request: Request, action: ProxyAction) -> Result<Response> {
    match action {
        ProxyAction::Pass => {}
        ProxyAction::Late(by) => tokio::time::sleep(by).await,
        ProxyAction::Never => std::future::pending().await,
        ProxyAction::CutOff => {
            let begun = Ok(Bytes::from_static(b"{\"kind\":"));
            let cut = stream::iter([begun, Err(std::io::Error::other("cut off"))]);
            let answer = Response::builder().header(header::CONTENT_LENGTH, 1000);
            return Ok(answer.body(Body::from_stream(cut))?);
        }
        ProxyAction::Respond(status, body) => {
            let answer = Response::builder().status(status);
            return Ok(answer
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.into())?);
        }
    }
    let (mut head, body) = request.into_parts();
    let body = to_bytes(body, LIMIT).await.context("reading a request")?;
    // What belongs to this hop alone.
    for name in [header::HOST, header::CONNECTION, header::ACCEPT_ENCODING] {
        head.headers.remove(name);
    }
    head.version = http::Version::default();
    let asked = http::Request::from_parts(head, kube::client::Body::from(body));
    let (mut head, body) = client.send(asked).await.context("passing on a request")?.into_parts();
    for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
        head.headers.remove(name);
    }
    head.version = http::Version::default();
    Ok(Response::from_parts(head, Body::new(body)))
}
