//! Arguments of the control plane's programs.
//!
//! All listen on 127.0.0.1. The API server uses RBAC and writes an audit log, so tests can check which permission each client
//! used.

use std::path::Path;

use crate::assets::Assets;
use crate::process::Program;

use super::pki::Pki;

/// The audit policy: one entry per request, without bodies, which may contain Secrets.
pub(super) const AUDIT_POLICY: &str =
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";

/// Controllers needed without nodes: deletion of namespaces and of owned objects, release of unused PVCs, service accounts,
/// aggregated roles. Deployments are run by the harness.
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,serviceaccount-controller,\
                           clusterrole-aggregation-controller,root-ca-certificate-publisher-controller,\
                           persistentvolumeclaim-protection-controller";

/// The ports of one control plane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) etcd_peer: u16,
    pub(super) api_server: u16,
}

pub(super) fn etcd(assets: &Assets, data: &Path, ports: Ports) -> Program {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    let mut program = Program::new("etcd", assets.etcd(), data.join("etcd.log"));
    program.args = arguments([
        ("--data-dir", data.join("etcd").display().to_string()),
        ("--listen-client-urls", client.clone()),
        ("--advertise-client-urls", client),
        ("--listen-peer-urls", peer.clone()),
        ("--initial-advertise-peer-urls", peer.clone()),
        ("--initial-cluster", format!("default={peer}")),
        // The data need not survive a crash of the machine.
        ("--unsafe-no-fsync", "true".to_owned()),
        ("--log-level", "warn".to_owned()),
    ]);
    program
}

pub(super) fn api_server(assets: &Assets, data: &Path, pki: &Pki, ports: Ports) -> Program {
    let path = |path: std::path::PathBuf| path.display().to_string();
    let mut program = Program::new(
        "kube-apiserver",
        assets.kube_apiserver(),
        data.join("kube-apiserver.log"),
    );
    program.args = arguments([
        ("--etcd-servers", format!("http://127.0.0.1:{}", ports.etcd)),
        ("--bind-address", "127.0.0.1".to_owned()),
        ("--secure-port", ports.api_server.to_string()),
        // Required on machines without a default route; the kubernetes Service is not used.
        ("--advertise-address", "127.0.0.1".to_owned()),
        ("--endpoint-reconciler-type", "none".to_owned()),
        ("--service-cluster-ip-range", "10.96.0.0/16".to_owned()),
        ("--cert-dir", path(data.join("pki"))),
        ("--tls-cert-file", path(pki.certificate("server"))),
        ("--tls-private-key-file", path(pki.key("server"))),
        ("--client-ca-file", path(pki.authority())),
        ("--authorization-mode", "RBAC".to_owned()),
        ("--service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("--service-account-key-file", path(pki.token_verifier())),
        ("--service-account-signing-key-file", path(pki.key("tokens"))),
        ("--audit-policy-file", path(data.join("audit-policy.yaml"))),
        ("--audit-log-path", path(data.join("audit.log"))),
        // In megabytes: large enough that the log is never rotated.
        ("--audit-log-maxsize", "100000".to_owned()),
        // Otherwise the API server waits a minute for open watches when it stops.
        ("--shutdown-watch-termination-grace-period", "2s".to_owned()),
        ("--profiling", "false".to_owned()),
    ]);
    program
}

pub(super) fn controller_manager(assets: &Assets, data: &Path, pki: &Pki, kubeconfig: &Path) -> Program {
    let log = data.join("kube-controller-manager.log");
    let mut program = Program::new("kube-controller-manager", assets.kube_controller_manager(), log);
    program.args = arguments([
        ("--kubeconfig", kubeconfig.display().to_string()),
        ("--controllers", CONTROLLERS.to_owned()),
        ("--leader-elect", "false".to_owned()),
        ("--use-service-account-credentials", "true".to_owned()),
        ("--root-ca-file", pki.authority().display().to_string()),
        // No client connects to it.
        ("--secure-port", "0".to_owned()),
    ]);
    program
}

fn arguments<const N: usize>(flags: [(&str, String); N]) -> Vec<std::ffi::OsString> {
    flags
        .into_iter()
        .map(|(flag, value)| format!("{flag}={value}").into())
        .collect()
}
