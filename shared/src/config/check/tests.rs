use super::*;

/// The problems of a configuration, each as its place and its message.
fn problems(yaml: &str) -> Vec<(String, String)> {
    match Config::from_yaml(yaml) {
        Ok(_) => Vec::new(),
        Err(error) => error
            .problems()
            .iter()
            .map(|Problem { location, message }| (location.clone(), message.clone()))
            .collect(),
    }
}

#[test]
fn all_problems_are_reported_with_location_and_fix() {
    let yaml = "
targetNamespace:
  default: Open_Data
  allowed:
    - {namespace: gpu.notebooks, from: [team-a, '*', 'team-*', '']}
    - {namespace: unused, from: []}
rules: {CNB101: Warn, CNB999: Off}
images:
  allowed: [quay.io, 'https://quay.io', thoth-station/x, 'quay.io/a:v1', '', '*.example.com', quay.io/Team]
runtimeEnvironments:
  - {osName: ' ', osVersion: '9', pythonVersion: '3.9', builderImage: 'quay.io/a b'}
  - {osName: ubi, osVersion: '9', pythonVersion: '3.9', builderImage: quay.io/a/b:v1}
  - {osName: ubi, osVersion: '9', pythonVersion: '3.9', builderImage: quay.io/a/c:v1}
repositories:
  allowed: [github.com, 'https://github.com', github.com/team, 'git.example:0', '*.example.com', 'git.example:8443']
  builderImage: quay.io/Team/a
git:
  credentials:
    - {host: github.com, secret: Deploy_Key}
    - {host: GitHub.com., secret: deploy-key}
";
    let found = problems(yaml);
    let expected = [
        (
            "targetNamespace.default",
            "\"Open_Data\" is not a namespace name: it contains 'O'",
        ),
        ("targetNamespace.allowed[0].namespace", "contains '.'"),
        ("targetNamespace.allowed[0].from[2]", "\"team-*\" is neither \"*\" nor"),
        ("targetNamespace.allowed[0].from[3]", "is empty"),
        ("targetNamespace.allowed[1].from", "is empty; list namespaces, or"),
        ("rules.CNB101", "cannot be set to Warn"),
        ("rules.CNB999", "is not a rule"),
        ("images.allowed[1]", "remove \"https://\""),
        ("images.allowed[2]", "docker.io/thoth-station/x"),
        ("images.allowed[3]", "has a tag or digest"),
        ("images.allowed[4]", "is empty"),
        ("images.allowed[5]", "is not an image prefix"),
        ("images.allowed[6]", "must be in lower case"),
        ("runtimeEnvironments[0].osName", "is empty"),
        ("runtimeEnvironments[0].builderImage", "contains white space"),
        ("runtimeEnvironments[2]", "repeats runtimeEnvironments[1]"),
        ("repositories.allowed[1]", "is not a Git host; use the host"),
        ("repositories.allowed[2]", "\"github.com/team\" is not a Git host"),
        ("repositories.allowed[3]", "\"git.example:0\" is not a Git host"),
        ("repositories.allowed[4]", "is not a Git host"),
        ("repositories.builderImage", "is not an image reference"),
        ("git.credentials[0].secret", "is not a Secret name"),
        ("git.credentials[1]", "repeats git.credentials[0]"),
    ];
    let places: Vec<&str> = found.iter().map(|(location, _)| location.as_str()).collect();
    assert_eq!(places, expected.map(|(location, _)| location));
    for ((location, message), (_, part)) in found.iter().zip(expected) {
        assert!(message.contains(part), "{location}: {message}");
    }
    let text = Config::from_yaml(yaml).unwrap_err().to_string();
    assert!(text.contains("; rules.CNB999: is not a rule"), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn ordinary_configurations_are_valid() {
    for yaml in [
        super::super::SHIPPED,
        "images: {allowed: [docker.io, index.docker.io/library, quay.io/, 'registry.example:5000', localhost, QUAY.io/a/b]}",
        "repositories: {allowed: [github.com., gitea.git.svc, 10.0.0.1, '[::1]', '[::1]:8443', 'git.example:22', gitea]}",
        "git: {credentials: [{host: github.com, secret: a}, {host: 'github.com:8443', secret: b.c}]}",
        "targetNamespace: {default: '', allowed: []}",
    ] {
        assert_eq!(problems(yaml), [], "{yaml}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for yaml in [
        "repositories: {allowed: ['https://me:hunter2@github.com']}",
        "repositories: {allowed: ['hunter2@github.com']}",
        "images: {allowed: ['me:hunter2@quay.io']}",
        "git: {credentials: [{host: 'hunter2@github.com', secret: 'HUNTER2hunter2'}]}",
        "runtimeEnvironments: [{osName: a, osVersion: b, pythonVersion: c, builderImage: 'hunter2@quay.io/a'}]",
    ] {
        let text = Config::from_yaml(yaml).unwrap_err().to_string();
        assert!(!text.to_lowercase().contains("hunter2"), "{text}");
    }
}

#[test]
fn sizes_are_bounded() {
    let list = |count: usize| format!("images: {{allowed: [{}]}}", "quay.io,".repeat(count));
    assert_eq!(problems(&list(MAX_LIST_ITEMS)), []);
    assert_eq!(problems(&list(MAX_LIST_ITEMS + 1))[0].0, "images.allowed");
    let error = Config::from_yaml(&list(200_000)).unwrap_err();
    assert!(error.to_string().contains("bytes; at most"), "{error}");
    let text = Config::from_yaml(&format!("images: {{allowed: [{}]}}", "'',".repeat(MAX_LIST_ITEMS)))
        .unwrap_err()
        .to_string();
    assert!(text.ends_with("and 950 more"), "{}", text.len());
}

#[test]
fn syntax_errors_have_a_location_and_a_message() {
    for (yaml, location, message) in [
        (
            "images:\n  allowd: []",
            "line 2, column 3",
            "unknown field `allowd`, expected",
        ),
        ("images:\n  allowed: quay.io", "line 2, column 12", "expected a list"),
        ("images:\n  allowed:\n    - {}", "line 3, column 7", "expected text"),
        ("nonsense", "line 1, column 1", "expected keys and values"),
        (
            "rules: {CNB104: Loud}",
            "line 1, column 17",
            "unknown variant `Loud`, expected",
        ),
    ] {
        let found = problems(yaml);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, location);
        assert!(found[0].1.starts_with(message), "{found:?}");
        assert!(!found[0].1.contains("line "), "{found:?}");
    }
}

#[test]
fn invalid_settings_of_tasks_are_rejected() {
    let found = problems(
        "
signatures: {policy: Required}
python: {indexUrl: 'https://u:p@pypi.example/simple', extraIndexUrls: [pypi.org, 'https://a b']}
network:
  httpProxy: 'socks5://proxy:1080'
  noProxy: [.example.com, 10.0.0.0/8, 'a b']
  caConfigMap: CA
  insecureRegistries: ['registry:5000', 'http://registry:5000']
source: {baseUrl: 'git@example.com:a', secret: A}
registry: {prefix: 'quay.io/a:v1', secret: B}
",
    );
    let expected = [
        ("signatures.keysSecret", "the policy requires a Secret"),
        ("python.indexUrl", "credentials"),
        ("python.extraIndexUrls[0]", "is not a URL"),
        ("python.extraIndexUrls[1]", "is not a URL"),
        ("network.httpProxy", "begins with http://"),
        ("network.noProxy[2]", "is not a host"),
        ("network.caConfigMap", "is not a ConfigMap name"),
        ("network.insecureRegistries[1]", "is not a registry"),
        ("source.baseUrl", "credentials"),
        ("source.secret", "is not a Secret name"),
        ("registry.prefix", "has a tag"),
        ("registry.secret", "is not a Secret name"),
    ];
    let places: Vec<_> = found.iter().map(|(location, _)| location.as_str()).collect();
    assert_eq!(places, expected.map(|(location, _)| location), "{found:#?}");
    for ((location, message), (_, part)) in found.iter().zip(expected) {
        assert!(message.contains(part), "{location}: {message}");
    }
    assert!(problems("build: {storageDriver: overlay, isolation: oci}").is_empty());
    assert_eq!(problems("build: {isolation: vm}").len(), 1);
    for format in ["Off", "CycloneDX", "SPDX"] {
        assert_eq!(problems(&format!("sbom: {{format: {format}}}")), []);
    }
    assert_eq!(problems("sbom: {format: spdx}").len(), 1);
}
