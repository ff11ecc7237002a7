//! A fake API server with fixed responses, and the program under test.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;

/// Responses by path, without the query.
#[derive(Clone, Default)]
pub struct Responses(
    Arc<Mutex<BTreeMap<String, (u16, String)>>>,
    Arc<Mutex<BTreeMap<String, Changes>>>,
);

type Changes = mpsc::UnboundedReceiver<String>;

impl Responses {
    pub fn set(&self, path: &str, response: &Value) {
        self.text(path, &response.to_string());
    }

    pub fn text(&self, path: &str, response: &str) {
        let mut all = self.0.lock().unwrap();
        all.insert(path.to_owned(), (200, response.to_owned()));
    }

    pub fn status(&self, path: &str, code: u16, response: &Value) {
        let mut all = self.0.lock().unwrap();
        all.insert(path.to_owned(), (code, response.to_string()));
    }

    /// Events for the first watch of the path.
    pub fn changes(&self, path: &str) -> mpsc::UnboundedSender<String> {
        let (sender, changes) = mpsc::unbounded_channel();
        self.1.lock().unwrap().insert(path.to_owned(), changes);
        sender
    }

    /// Responds with 403.
    pub fn forbid(&self, path: &str) {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "forbidden"});
        let mut all = self.0.lock().unwrap();
        all.insert(path.to_owned(), (403, status.to_string()));
    }
}

pub struct Api {
    pub responses: Responses,
    pub folder: TempDir,
}

pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Api {
    pub async fn start() -> Self {
        let responses = Responses::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(respond).with_state(responses.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let context = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "k", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "team-a"}}],
        });
        fs::write(folder.path().join("kubeconfig"), context.to_string()).unwrap();
        Self { responses, folder }
    }

    pub async fn run(&self, arguments: &[&str]) -> Outcome {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-cnbi"))
            .args(arguments)
            .env_remove("CLICOLOR_FORCE")
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        Outcome {
            status: output.status.code().expect("no signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

async fn respond(State(responses): State<Responses>, request: Request) -> Response {
    let path = request.uri().path();
    if request.uri().query().is_some_and(|query| query.contains("watch=")) {
        let changes = responses.1.lock().unwrap().remove(path);
        let next = |changes: Option<Changes>| async {
            let mut changes = changes?;
            let change = changes.recv().await? + "\n";
            Some((Ok::<_, Infallible>(change), Some(changes)))
        };
        return Body::from_stream(stream::unfold(changes, next)).into_response();
    }
    let found = responses.0.lock().unwrap().get(path).cloned();
    let (code, text) = found.unwrap_or_else(|| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound",
            "message": format!("{name} not found"), "details": {"name": name}});
        (404, status.to_string())
    });
    (StatusCode::from_u16(code).unwrap(), text).into_response()
}
