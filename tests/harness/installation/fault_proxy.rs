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

/// Limit of a request's body in bytes.
const LIMIT: usize = 4 << 20;

/// The handling of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAction {
    /// Forwards it.
    Pass,
    /// Forwards it after a delay.
    Late(Duration),
    /// Never responds.
    Never,
    /// Closes the connection in the middle of the response.
    CutOff,
    /// Responds with this status and body; the API server does not get the request.
    Respond(u16, String),
}

type Rule = Arc<dyn Fn(&str) -> ProxyAction + Send + Sync>;

/// A running proxy; stops on drop.
pub struct FaultProxy {
    url: String,
    rule: Arc<Mutex<Rule>>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy for the API server of a kubeconfig. It forwards everything.
    pub async fn start(kubeconfig: &Path) -> Result<Self> {
        let mut kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        // Clients authenticate with their own tokens.
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
            // Serves until it is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, rule, task })
    }

    /// The URL for the program.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets the handling of requests by URL path.
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
    // Hop-by-hop headers.
    for name in [header::HOST, header::CONNECTION, header::ACCEPT_ENCODING] {
        head.headers.remove(name);
    }
    head.version = http::Version::default();
    let asked = http::Request::from_parts(head, kube::client::Body::from(body));
    let (mut head, body) = client.send(asked).await.context("forwarding a request")?.into_parts();
    for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
        head.headers.remove(name);
    }
    head.version = http::Version::default();
    Ok(Response::from_parts(head, Body::new(body)))
}
