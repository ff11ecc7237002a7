//! Sends every example of every rule to the API server, and checks the response and the stored resource.
//!
//! The examples run one after the other in one installation, sorted by configuration. An example that replaces a resource
//! uses the namespace `before-<number>` instead of `team-a`. The replaced resource was stored before the first webhook was
//! installed, with a CRD without validation, as on a cluster that is upgraded.

use std::path::Path;

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::{UnvalidatedImage, annotations};
use cnbi_shared::config::{Config, SHIPPED};
use cnbi_shared::defaults::Defaults;
use cnbi_shared::rules::examples::{Example, NAMESPACE, REQUESTER};
use cnbi_tests::control_plane::ControlPlane;
use http::Method;
use serde_json::{Value, json};

use crate::api_response::{ApiResponse, Line, send_request};
use crate::cluster::{ADMIN, apply, path_of, resource, until, until_allowed};
use crate::test_installation::TestInstallation;

/// Examples that the API server accepts because it drops null values before it calls webhooks. The offline check reports them.
const DROPPED: &[&str] = &["CNB001 example 6"];

/// The examples that apply to a cluster, with their numbers and final namespaces.
fn online() -> Result<Vec<(usize, Example)>> {
    let all = Example::all().map_err(Error::msg)?;
    let online = all.into_iter().enumerate().filter(|(_, example)| !example.offline);
    online
        .map(|(number, example)| Ok((number, moved(number, example)?)))
        .collect()
}

/// Moves an example that replaces a resource to its own namespace.
fn moved(number: usize, mut example: Example) -> Result<Example> {
    let Some(before) = &mut example.before else {
        return Ok(example);
    };
    let own = format!("before-{number}");
    for object in example
        .objects
        .iter_mut()
        .filter(|object| object["kind"] == "Secret")
        .chain([before, &mut example.resource])
    {
        object["metadata"]["namespace"] = own.clone().into();
    }
    let rest = format!("{:?}{:?}{:?}", example.objects, example.configuration, example.granted);
    ensure!(
        !rest.contains(NAMESPACE),
        "{} refers to {NAMESPACE}, but runs in another namespace",
        example.title()
    );
    Ok(example)
}

/// Stores the resources that examples replace, then installs the CRD. No webhook is installed yet.
pub async fn store_befores(cluster: &ControlPlane) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crd");
    let yaml = std::fs::read_to_string(folder.join("customnbimages.yaml"))?;
    let mut definition: Value = serde_saphyr::from_str(&yaml)?;
    for version in definition["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let schema = &mut version["schema"]["openAPIV3Schema"];
        without_rules(&mut schema["properties"]["spec"]);
        schema["x-kubernetes-validations"] = json!([]);
    }
    let befores: Vec<_> = online()?
        .into_iter()
        .filter(|(_, example)| example.before.is_some())
        .collect();
    let mut items = vec![
        definition,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "no-webhook"}}),
    ];
    for (number, _) in &befores {
        let name = format!("before-{number}");
        items.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    apply(cluster, &items.into()).await?;

    let client = cluster.client().await?;
    let collection = |namespace: &str| format!("/apis/meteor.zone/v1alpha1/namespaces/{namespace}/customnbimages");
    until("CustomNBImages are served", async || {
        let response = send_request(&client, None, Method::GET, &collection("no-webhook"), &Value::Null).await;
        Ok(response.is_ok_and(|response| response.is_success()))
    })
    .await?;
    for (_, example) in &befores {
        let before = example.before.as_ref().context("the example replaces no resource")?;
        let mut before = defaulted(before, None, &example.config().map_err(Error::msg)?, REQUESTER)?;
        let metadata = before["metadata"].as_object_mut().context("no metadata")?;
        let is_being_deleted = metadata.remove("deletionTimestamp").is_some();
        let namespace = before["metadata"]["namespace"].as_str().unwrap_or_default();
        let response = send_request(&client, Some(ADMIN), Method::POST, &collection(namespace), &before).await?;
        ensure!(response.is_success(), "{}: {}", example.title(), response.body);
        if is_being_deleted {
            let response = send_request(&client, Some(ADMIN), Method::DELETE, &path_of(&before), &Value::Null).await?;
            ensure!(response.is_success(), "{}: {}", example.title(), response.body);
        }
    }

    cluster.kubectl().arg("apply").arg("-k").arg(&folder).ok().await?;
    until("the schema is active", async || {
        let bad = resource("no-webhook", "probe", json!({"fromImage": "docker://quay.io/a/b:v1"}));
        let path = collection("no-webhook") + "?dryRun=All";
        Ok(send_request(&client, None, Method::POST, &path, &bad).await?.code == 422)
    })
    .await
}

/// Removes all validation from a schema, except types.
fn without_rules(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            // A property may have such a name as well; its value is a schema.
            map.retain(|key, value| match key.as_str() {
                "x-kubernetes-validations" | "enum" | "required" => !value.is_array(),
                "pattern" | "minLength" | "maxLength" | "minItems" | "maxItems" => value.is_object(),
                _ => true,
            });
            map.values_mut().for_each(without_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(without_rules),
        _ => {}
    }
}

/// The object with all defaults.
pub fn defaulted(object: &Value, old: Option<&Value>, config: &Config, requester: &str) -> Result<Value> {
    let draft: UnvalidatedImage = serde_json::from_value(object.clone())?;
    let old: Option<UnvalidatedImage> = old.map(|old| serde_json::from_value(old.clone())).transpose()?;
    let subject = match &old {
        Some(old) => AdmissionInput::update(&draft, old),
        None => AdmissionInput::create(&draft),
    };
    let Defaults {
        target_namespace,
        display_name,
        creator,
    } = Defaults::of(&subject, config, Some(requester));
    let mut object = object.clone();
    if let Some(target) = target_namespace {
        object["spec"]["targetNamespace"] = target.into();
    }
    for (key, value) in [
        (annotations::DISPLAY_NAME, display_name),
        (annotations::CREATOR, creator),
    ] {
        if let Some(value) = value {
            object["metadata"]["annotations"][key] = value.into();
        }
    }
    Ok(object)
}

#[tokio::test]
async fn every_rule_example_gets_the_documented_response() -> Result<()> {
    TestInstallation::run("examples", async |setup| {
        setup.installation.create_namespace(NAMESPACE).await?;
        let mut examples = online()?;
        let tried = examples.len();
        let offline = Example::all().map_err(Error::msg)?.len() - tried;
        let label = setup.installation.label().context("the installation has no label")?;
        for (number, _) in examples.iter().filter(|(_, example)| example.before.is_some()) {
            let labels = json!({"metadata": {"labels": {label.0: label.1}}});
            setup
                .done(Method::PATCH, &format!("/api/v1/namespaces/before-{number}"), &labels)
                .await?;
            setup.until_asked(&format!("before-{number}")).await?;
        }

        examples.sort_by(|(_, one), (_, other)| one.configuration.cmp(&other.configuration));
        let mut in_force = Config::shipped();
        let mut failures = Vec::new();
        for (_, example) in &examples {
            let config = example.config().map_err(Error::msg)?;
            if config != in_force {
                setup
                    .configure(example.configuration.as_deref().unwrap_or(SHIPPED))
                    .await?;
                in_force = config;
            }
            if let Err(error) = run(setup, example, &in_force).await {
                failures.push(format!("{}: {error:#}", example.title()));
            }
        }
        assert!(
            failures.is_empty(),
            "{} of {tried}:\n{}",
            failures.len(),
            failures.join("\n")
        );
        assert!(tried > 100 && offline < tried / 5, "{tried} sent, {offline} skipped");
        println!("{tried} examples sent; {offline} offline examples skipped");
        Ok(())
    })
    .await
}

/// Creates the objects of the example, sends its request, deletes the objects, and compares the response.
async fn run(setup: &TestInstallation<'_>, example: &Example, config: &Config) -> Result<()> {
    let mut made = Vec::new();
    for object in &example.objects {
        made.extend(make(setup, object).await?);
    }
    for namespace in &example.granted {
        made.push(grant(setup, example, namespace).await?);
    }
    let response = request(setup, example).await?;
    for path in made.iter().rev() {
        setup.done(Method::DELETE, path, &Value::Null).await?;
    }
    if let (true, None) = (response.is_success(), &example.before) {
        setup
            .done(Method::DELETE, &path_of(&response.body), &Value::Null)
            .await?;
    }
    for namespace in &example.granted {
        until_granted(setup, example, namespace, false).await?;
    }
    compare(example, config, &response)
}

/// Creates an object of the example; returns its URL path if it has to be deleted. Namespaces are kept, because deleting them is
/// slow and no example needs a namespace of another one to be missing.
async fn make(setup: &TestInstallation<'_>, object: &Value) -> Result<Option<String>> {
    let mut object = object.clone();
    if object["kind"] == "Namespace" {
        let response = setup.send_request(Method::POST, "/api/v1/namespaces", &object).await?;
        ensure!(
            response.is_success() || response.body["reason"] == "AlreadyExists",
            "{}",
            response.body
        );
        return Ok(None);
    }
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or(NAMESPACE).to_owned();
    let collection = match object["kind"].as_str() {
        Some("Secret") => format!("/api/v1/namespaces/{namespace}/secrets"),
        Some("ImageStream") => format!("/apis/image.openshift.io/v1/namespaces/{namespace}/imagestreams"),
        kind => return Err(anyhow!("objects of kind {kind:?} are not supported")),
    };
    object["apiVersion"] = if object["kind"] == "Secret" {
        json!("v1")
    } else {
        object["apiVersion"].take()
    };
    let made = setup.done(Method::POST, &collection, &object).await?;
    let name = made["metadata"]["name"].as_str().context("no name")?;
    Ok(Some(format!("{collection}/{name}")))
}

async fn grant(setup: &TestInstallation<'_>, example: &Example, namespace: &str) -> Result<String> {
    let user = example.requester.as_deref().context("the example has no requester")?;
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "granted"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "stream-maker"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    });
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    setup.done(Method::POST, &path, &binding).await?;
    until_granted(setup, example, namespace, true).await?;
    Ok(path + "/granted")
}

async fn until_granted(
    setup: &TestInstallation<'_>,
    example: &Example,
    namespace: &str,
    is_granted: bool,
) -> Result<()> {
    let user = example.requester.as_deref().unwrap_or_default();
    let attributes =
        json!({"group": "image.openshift.io", "resource": "imagestreams", "verb": "create", "namespace": namespace});
    until_allowed(&setup.client, user, &attributes, is_granted).await
}

async fn request(setup: &TestInstallation<'_>, example: &Example) -> Result<ApiResponse> {
    let user = example.requester.as_deref().unwrap_or(REQUESTER);
    let mut object = example.resource.clone();
    if example.before.is_none() {
        return setup.create(user, &object).await;
    }
    let stored = setup.done(Method::GET, &path_of(&object), &Value::Null).await?;
    for given in ["resourceVersion", "deletionTimestamp"] {
        object["metadata"][given] = stored["metadata"][given].clone();
    }
    setup.replace(user, &object).await
}

fn compare(example: &Example, config: &Config, response: &ApiResponse) -> Result<()> {
    let lines = example
        .expected
        .iter()
        .map(|line| (line.verdict.to_owned(), line.rule.clone(), line.path.clone()));
    let mut expected: Vec<Line> = lines.collect();
    let mut resource = example.resource.clone();
    if DROPPED.contains(&&*example.title()) {
        expected.clear();
        let spec = resource["spec"].as_object_mut().context("no spec")?;
        spec.retain(|_, value| !value.is_null());
    }
    let said = response.lines();
    ensure!(
        said == expected,
        "expected {expected:?}, got {} {said:?} {}",
        response.code,
        response.body
    );
    let refusals: Vec<_> = expected.iter().filter(|(verdict, ..)| verdict == "rejected").collect();
    ensure!(
        response.is_success() == refusals.is_empty(),
        "{} {}",
        response.code,
        response.body
    );
    if !refusals.is_empty() {
        ensure!(
            matches!(response.code, 403 | 422),
            "{} {}",
            response.code,
            response.body
        );
        for (_, rule, path) in refusals {
            let message = response.message();
            ensure!(
                message.contains(&format!("[{rule}]")) && message.contains(path),
                "{message}"
            );
        }
        return Ok(());
    }
    // The request is stored with its defaults.
    let user = example.requester.as_deref().unwrap_or(REQUESTER);
    let before = example
        .before
        .as_ref()
        .map(|old| defaulted(old, None, config, REQUESTER))
        .transpose()?;
    let wanted = defaulted(&resource, before.as_ref(), config, user)?;
    for pointer in ["/spec", "/metadata/annotations"] {
        let (stored, wanted) = (response.body.pointer(pointer), wanted.pointer(pointer));
        ensure!(stored == wanted, "stored at {pointer} {stored:?} instead of {wanted:?}");
    }
    Ok(())
}
