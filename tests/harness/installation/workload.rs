//! The parts of a Deployment that a kubelet would use to run its program. An unsupported part is an error.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvVar};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use crate::control_plane::ports;

/// Addresses that a container listens on; on this machine they are replaced by loopback.
const EVERYWHERE: [&str; 2] = ["[::]", "0.0.0.0"];

/// One program to run.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) deployment: String,
    pub(super) container: String,
    /// The last part of `command`, or the container's name if the command comes from the image.
    pub(super) program: String,
    pub(super) service_account: String,
    /// The pod's labels, for the selectors of Services.
    pub(super) labels: BTreeMap<String, Value>,
    pub(super) ports: Vec<Port>,
    args: Vec<String>,
    env: Vec<EnvVar>,
    readiness: Option<(String, String)>,
}

/// A port of a container.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) name: String,
    /// The port in the Deployment.
    pub(super) declared: i32,
    /// The local port of the process.
    pub(super) local: u16,
}

/// Reads all Deployments.
pub(super) fn read(objects: &[Value]) -> Result<Vec<Workload>> {
    let deployments = objects.iter().filter(|object| object["kind"] == "Deployment");
    deployments
        .map(|object| {
            let deployment = serde_json::from_value(object.clone()).context("reading a Deployment")?;
            let name = &object["metadata"]["name"];
            Workload::new(deployment).with_context(|| format!("the Deployment {name}"))
        })
        .collect()
}

impl Workload {
    fn new(deployment: Deployment) -> Result<Self> {
        let template = deployment.spec.context("it has no spec")?.template;
        let pod = template.spec.context("it has no pod template")?;
        let Ok([container]) = <[Container; 1]>::try_from(pod.containers) else {
            bail!("it must have exactly one container");
        };
        ensure!(
            pod.init_containers.is_none_or(|list| list.is_empty()),
            "it has init containers"
        );
        ensure!(
            container.env_from.is_none_or(|list| list.is_empty()),
            "it takes its environment from other objects"
        );
        ensure!(
            container.volume_mounts.is_none_or(|list| list.is_empty()),
            "it mounts volumes"
        );

        let mut args = container.command.unwrap_or_default();
        let program = if args.is_empty() {
            container.name.clone()
        } else {
            args.remove(0)
        };
        args.extend(container.args.unwrap_or_default());
        let mut found = Vec::new();
        for port in container.ports.unwrap_or_default() {
            let [local] = ports::free()?;
            let name = port.name.unwrap_or_else(|| port.container_port.to_string());
            found.push(Port {
                name,
                declared: port.container_port,
                local,
            });
        }
        let readiness = container.readiness_probe.map(|probe| {
            let get = probe.http_get.context("its readiness probe is not an HTTP GET")?;
            let scheme = get.scheme.unwrap_or_else(|| "HTTP".to_owned()).to_lowercase();
            let port = match get.port {
                IntOrString::String(name) => name,
                IntOrString::Int(number) => found
                    .iter()
                    .find(|port| port.declared == number)
                    .map(|port| port.name.clone())
                    .unwrap_or_default(),
            };
            Ok::<_, anyhow::Error>((port, format!("{scheme} {}", get.path.unwrap_or_default())))
        });
        Ok(Self {
            deployment: deployment.metadata.name.unwrap_or_default(),
            container: container.name,
            program: program.rsplit('/').next().unwrap_or_default().to_owned(),
            service_account: pod.service_account_name.unwrap_or_else(|| "default".to_owned()),
            labels: template
                .metadata
                .and_then(|metadata| metadata.labels)
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, value.into()))
                .collect(),
            ports: found,
            args,
            env: container.env.unwrap_or_default(),
            readiness: readiness.transpose()?,
        })
    }

    /// Chooses other local ports for the same container ports.
    pub(super) fn other_ports(&self) -> Result<Vec<Port>> {
        let other = |port: &Port| {
            let [local] = ports::free()?;
            Ok(Port { local, ..port.clone() })
        };
        self.ports.iter().map(other).collect()
    }

    /// Replaces renamed objects in flags that contain their names.
    pub(super) fn rename(
        &mut self,
        flags: &BTreeMap<String, String>,
        renamed: impl Fn(&str, &str) -> Option<String>,
    ) -> Result<()> {
        for (flag, kind) in flags {
            if let Some(old) = value_of(&self.args, flag) {
                let new = renamed(kind, &old)
                    .with_context(|| format!("{}: {kind} {old} in {flag} does not exist", self.container))?;
                set_flag(&mut self.args, flag, &new);
            }
        }
        Ok(())
    }

    /// The environment of the pod with this name.
    pub(super) fn environment(&self, pod: &str, namespace: &str) -> Result<BTreeMap<String, String>> {
        let mut environment = BTreeMap::new();
        for variable in &self.env {
            let value = match (&variable.value, &variable.value_from) {
                (value, None) => expand(value.as_deref().unwrap_or_default(), &environment),
                (None, Some(source)) => {
                    let field = source.field_ref.as_ref().map(|field| field.field_path.as_str());
                    match field {
                        Some("metadata.name") => pod.to_owned(),
                        Some("metadata.namespace") => namespace.to_owned(),
                        Some("spec.serviceAccountName") => self.service_account.clone(),
                        Some("status.podIP") => "127.0.0.1".to_owned(),
                        _ => bail!(
                            "{}: the source of variable {} needs a node",
                            self.container,
                            variable.name
                        ),
                    }
                }
                _ => bail!("{}: variable {} is set twice", self.container, variable.name),
            };
            environment.insert(variable.name.clone(), value);
        }
        Ok(environment)
    }

    /// The arguments, with variables expanded and all addresses replaced by loopback.
    pub(super) fn arguments(
        &self,
        environment: &BTreeMap<String, String>,
        ports: &[Port],
        flags: &[(String, String)],
    ) -> Result<Vec<String>> {
        let mut args: Vec<String> = self.args.iter().map(|argument| expand(argument, environment)).collect();
        for port in ports {
            let mut listens = false;
            for argument in &mut args {
                for everywhere in EVERYWHERE {
                    let address = format!("{everywhere}:{}", port.declared);
                    if let Some(rest) = argument.strip_suffix(&address) {
                        *argument = format!("{rest}127.0.0.1:{}", port.local);
                        listens = true;
                    }
                }
            }
            ensure!(
                listens,
                "{}: no argument listens on the declared port {}",
                self.container,
                port.declared
            );
        }
        for (flag, value) in flags {
            set_flag(&mut args, flag, value);
        }
        let anywhere = args
            .iter()
            .find(|argument| EVERYWHERE.iter().any(|address| argument.contains(address)));
        ensure!(
            anywhere.is_none(),
            "{} would listen on every address: {anywhere:?}",
            self.container
        );
        Ok(args)
    }

    /// The URL of the readiness probe, if it has one.
    pub(super) fn readiness(&self, ports: &[Port]) -> Result<Option<String>> {
        let Some((name, target)) = &self.readiness else {
            return Ok(None);
        };
        let port = ports.iter().find(|port| port.name == *name);
        let port = port.with_context(|| format!("the readiness probe of {} uses an unknown port", self.container))?;
        let (scheme, path) = target.split_once(' ').unwrap_or(("http", target));
        Ok(Some(format!("{scheme}://127.0.0.1:{}{path}", port.local)))
    }
}

/// Expands `$(NAME)` like Kubernetes: undefined names are kept, and `$$` becomes `$`.
fn expand(text: &str, environment: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|reference| reference.split_once(')'))
            && let Some(value) = environment.get(name)
        {
            out.push_str(value);
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

fn value_of(args: &[String], flag: &str) -> Option<String> {
    args.iter().enumerate().find_map(|(position, argument)| {
        let rest = argument.strip_prefix(flag)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if rest.is_empty() => args.get(position + 1).cloned(),
            None => None,
        }
    })
}

/// Sets or adds a flag; supports both `--flag=value` and `--flag value`.
fn set_flag(args: &mut Vec<String>, flag: &str, value: &str) {
    let joined = format!("{flag}=");
    if let Some(argument) = args.iter_mut().find(|argument| argument.starts_with(&joined)) {
        *argument = joined + value;
    } else if let Some(position) = args.iter().position(|argument| argument == flag)
        && let Some(argument) = args.get_mut(position + 1)
    {
        value.clone_into(argument);
    } else {
        args.push(joined + value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_followed_as_kubernetes_follows_them() {
        let environment = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            ("$(A)-$(A)", "1-1"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("ends in $", "ends in $"),
        ] {
            assert_eq!(expand(text, &environment), expected);
        }
    }

    #[test]
    fn a_flag_is_replaced_where_it_stands() {
        for (before, after) in [
            (vec!["--a=1", "--ab=2"], vec!["--a=9", "--ab=2"]),
            (vec!["--a", "1", "rest"], vec!["--a", "9", "rest"]),
            (vec!["--ab=2"], vec!["--ab=2", "--a=9"]),
        ] {
            let mut args: Vec<String> = before.into_iter().map(str::to_owned).collect();
            set_flag(&mut args, "--a", "9");
            assert_eq!(args, after);
            assert_eq!(value_of(&args, "--a").as_deref(), Some("9"));
        }
    }
}
