//! Runs a real program against a fake API server that responds 503 to every request. Included by the tests of both programs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);

/// A program that runs, and the log lines it has written.
pub struct Process {
    child: Child,
    log: Receiver<Value>,
    user_agents: Receiver<String>,
    _kubeconfig: tempfile::NamedTempFile,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub fn start(program: &str, args: &[&str]) -> Self {
        let (port, user_agents) = api_server();
        let mut kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let config = json!({
            "clusters": [{"name": "fake", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "current-context": "fake",
        });
        kubeconfig.write_all(config.to_string().as_bytes()).unwrap();
        let mut child = Command::new(program)
            .args(["--status-listen=127.0.0.1:0", "--log-format=json", "--log=debug"])
            .args(args)
            .env("KUBECONFIG", kubeconfig.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a log line: {line}"));
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            log,
            user_agents,
            _kubeconfig: kubeconfig,
        }
    }

    /// The User-Agent of the first request to the API server.
    pub fn user_agent(&self) -> String {
        self.user_agents.recv_timeout(DEADLINE).unwrap()
    }

    /// Waits for a log line with this message.
    pub fn logged(&self, message: &str) -> Value {
        let begin = Instant::now();
        while let Ok(line) = self.log.recv_timeout(DEADLINE.saturating_sub(begin.elapsed())) {
            if line["message"] == message {
                return line;
            }
        }
        panic!("never logged: {message}")
    }

    /// Names of the supervised tasks.
    pub fn tasks(&self) -> String {
        self.logged("supervising tasks")["tasks"].as_str().unwrap().to_owned()
    }

    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits until the process ends, and returns its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let begin = Instant::now();
        while begin.elapsed() < DEADLINE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the process does not end")
    }
}

/// Starts the program once per task, makes that task panic, and asserts that the process fails because of it.
pub fn assert_a_panic_in_any_task_ends_the_process(program: &str, args: &[&str], tasks: &[&str]) {
    let processes: Vec<_> = tasks
        .iter()
        .map(|task| {
            let flag = format!("--panic-in-task={task}");
            (task, Process::start(program, &[args, &[&flag]].concat()))
        })
        .collect();
    for (task, mut process) in processes {
        let panic = process.logged("panic");
        assert_eq!(panic["text"], "requested by --panic-in-task", "{panic}");
        let failed = loop {
            let line = process.log.recv_timeout(DEADLINE).unwrap();
            if line["error"].is_string() && line["level"] == "ERROR" {
                break line;
            }
        };
        let error = format!("task {task} panicked: requested by --panic-in-task");
        assert_eq!(failed["error"], error.as_str(), "{failed}");
        assert_eq!(process.exit_code(), Some(1), "{task}");
    }
}

/// A fake API server. Returns its port and the User-Agent of each request.
fn api_server() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, user_agents) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let agent = head.lines().find_map(|line| line.strip_prefix("user-agent: "));
                let _ = sender.send(agent.unwrap_or("none").to_owned());
                let response = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(response.as_bytes());
            });
        }
    });
    (port, user_agents)
}
