//! `cnbi-step` against real OCI registries, and against fake registries that are hostile.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::config::{SbomFormat, SignaturePolicy};
use cnbi_shared::contract::Settings;
use cnbi_tests::process::binary;
use cnbi_tests::registry::{Image, Registry, Setup};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The output of a step.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    reason: String,
    message: String,
    digest: String,
    reference: String,
    start: String,
    log: String,
}

async fn step(args: &[&str], settings: &Settings, asked: Option<&Value>) -> Told {
    let results = tempfile::tempdir().unwrap();
    let encoded = |value: &Value| STANDARD.encode(value.to_string());
    let mut command = tokio::process::Command::new(binary("cnbi-step").unwrap());
    command
        .arg("--results")
        .arg(results.path())
        .args(args)
        .args(["--settings", &encoded(&json!(settings))])
        .env_clear();
    if let Some(asked) = asked {
        command.args(["--request", &encoded(asked)]);
    }
    let output = command.output().await.unwrap();
    let read = |name: &str| fs::read_to_string(results.path().join(name)).unwrap_or_default();
    let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Told {
        code: output.status.code(),
        reason: read("reason"),
        message: read("message"),
        digest: read("digest"),
        reference: read("reference"),
        start: read("start-command"),
        log,
    }
}

/// Settings for a registry without TLS.
fn plain(address: &str) -> Settings {
    let mut settings = Settings::default();
    settings.network.insecure_registries = vec![address.to_owned()];
    settings
}

async fn inspect(image: &str, settings: &Settings, more: &[&str]) -> Told {
    let args = [&["inspect"], more].concat();
    step(&args, settings, Some(&json!({ "fromImage": image }))).await
}

fn refused(told: &Told, reason: &str, message: &str) {
    assert_eq!((told.code, told.reason.as_str()), (Some(1), reason), "{told:?}");
    assert!(told.message.contains(message), "{told:?}");
    assert_eq!((told.digest.as_str(), told.reference.as_str()), ("", ""), "{told:?}");
}

/// A mounted Secret or ConfigMap.
fn mounted(name: &str, content: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    // Like the kubelet, with a symbolic link to a version.
    fs::create_dir(folder.path().join("..v1")).unwrap();
    fs::write(folder.path().join("..v1").join(name), content).unwrap();
    std::os::unix::fs::symlink(Path::new("..v1").join(name), folder.path().join(name)).unwrap();
    folder
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

#[tokio::test]
async fn an_image_is_found_by_its_digest() {
    let registry = Registry::start(Setup::default()).await.unwrap();
    let address = registry.address();
    let settings = plain(address);
    let command = ["/bin/serve", "--port=8888", "$(params.x) $(HOME)"];
    let image = Image::new()
        .label("org.opencontainers.image.title", "a\nb")
        .command(&command);
    let digest = registry.push("team/base:v1", &image).await.unwrap();
    for named in ["team/base:v1".to_owned(), format!("team/base@{digest}")] {
        let told = inspect(&format!("{address}/{named}"), &settings, &["--architecture=amd64"]).await;
        assert_eq!(told.code, Some(0), "{told:?}");
        assert_eq!(told.digest, digest);
        assert_eq!(told.reference, format!("{address}/team/base@{digest}"));
        assert_eq!(told.start, STANDARD.encode(json!(command).to_string()));
        assert!(
            told.log.contains("label org.opencontainers.image.title=a\\nb"),
            "{}",
            told.log
        );
    }

    // For an index, the digest is that of the index, which must contain our platform.
    let (arm, _) = Image::new().architecture("arm64").manifest();
    registry
        .push("team/base:arm", &Image::new().architecture("arm64"))
        .await
        .unwrap();
    let (amd, media_type) = image.manifest();
    let entry = |manifest: &[u8], digest: &str, architecture: &str| {
        json!({
            "mediaType": media_type, "digest": digest, "size": manifest.len(),
            "platform": {"os": "linux", "architecture": architecture},
        })
    };
    let arm_digest = registry.digest("team/base:arm").await.unwrap();
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({
        "schemaVersion": 2, "mediaType": kind,
        "manifests": [entry(&arm, &arm_digest, "arm64"), entry(&amd, &digest, "amd64")],
    });
    let index = index.to_string().into_bytes();
    let both = registry.push_manifest("team/base:both", index, kind).await.unwrap();
    let told = inspect(
        &format!("{address}/team/base:both"),
        &settings,
        &["--architecture=amd64"],
    )
    .await;
    assert_eq!((told.code, told.digest.as_str()), (Some(0), both.as_str()), "{told:?}");
    for (tag, what) in [
        ("both", "no variant for linux/s390x"),
        ("arm", "is for linux/arm64, not"),
    ] {
        let told = inspect(
            &format!("{address}/team/base:{tag}"),
            &settings,
            &["--architecture=s390x"],
        )
        .await;
        refused(&told, "ImageInvalid", what);
    }
}

#[tokio::test]
async fn every_registry_error_has_its_own_reason() {
    let setup = Setup {
        has_password: true,
        has_tls: true,
    };
    let registry = Registry::start(setup).await.unwrap();
    let address = registry.address();
    registry.push("team/base:v1", &Image::new()).await.unwrap();
    let image = format!("{address}/team/base:v1");
    let settings = Settings::default();

    let config = registry.docker_config();
    let right = mounted(".dockerconfigjson", &config.to_string());
    let wrong = config.to_string().replace("only-in-tests", "s3cret");
    let wrong = mounted(".dockerconfigjson", &wrong);
    let authority = fs::read_to_string(registry.authority().unwrap()).unwrap();
    let bundle = mounted("ca.crt", &authority);
    let (right, wrong) = (
        format!("--dockerconfig={}", path(&right)),
        format!("--dockerconfig={}", path(&wrong)),
    );
    let bundle = format!("--ca-bundle={}", path(&bundle));

    let told = inspect(&image, &settings, &[&right, "--architecture=amd64"]).await;
    refused(&told, "RegistryUnavailable", "ertificate");
    let told = inspect(&image, &settings, &[&bundle, "--dockerconfig=", "--architecture=amd64"]).await;
    refused(&told, "RegistryUnauthorized", "requires some");
    let told = inspect(&image, &settings, &[&bundle, &wrong, "--architecture=amd64"]).await;
    refused(&told, "RegistryUnauthorized", "rejects the credentials");
    assert!(!format!("{told:?}").contains("s3cret"), "{told:?}");
    let told = inspect(&image, &settings, &[&bundle, &right, "--architecture=amd64"]).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    let told = inspect(&format!("{address}/team/base:v2"), &settings, &[&bundle, &right]).await;
    refused(&told, "ImageNotFound", "team/base:v2");

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let told = inspect(&format!("127.0.0.1:{port}/team/base:v1"), &settings, &[]).await;
    refused(&told, "RegistryUnavailable", "cannot connect");
}

/// A key pair, with the public key as PEM.
fn key_pair() -> (EcdsaKeyPair, String) {
    use ring::signature::KeyPair as _;
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
    // SubjectPublicKeyInfo of id-ecPublicKey on prime256v1, up to the point.
    let mut info = STANDARD.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=").unwrap();
    info.extend_from_slice(pair.public_key().as_ref());
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(info)
    );
    (pair, pem)
}

fn sign(pair: &EcdsaKeyPair, message: &[u8]) -> String {
    STANDARD.encode(pair.sign(&SystemRandom::new(), message).unwrap())
}

fn descriptor(media_type: &str, blob: &[u8], digest: &str) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": blob.len() })
}

/// Attaches a simple signature to `digest` whose payload refers to `about`, like cosign.
async fn put_signature(registry: &Registry, digest: &str, about: &str, pair: &EcdsaKeyPair) {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": "team/base"}, "image": {"docker-manifest-digest": about},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let payload = payload.to_string().into_bytes();
    let name = format!("team/base:{}.sig", digest.replace(':', "-"));
    let layer = registry.push_blob(&name, payload.clone()).await.unwrap();
    let config = registry.push_blob(&name, b"{}".to_vec()).await.unwrap();
    let mut layer = descriptor("application/vnd.dev.cosign.simplesigning.v1+json", &payload, &layer);
    layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": sign(pair, &payload) });
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": kind,
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}", &config),
        "layers": [layer],
    });
    let manifest = manifest.to_string().into_bytes();
    registry.push_manifest(&name, manifest, kind).await.unwrap();
}

/// Attaches a bundle that refers to `digest` and attests `about`, with the referrers tag.
async fn put_bundle(registry: &Registry, digest: &str, about: &str, pair: &EcdsaKeyPair) {
    const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "subject": [{"digest": {"sha256": about.trim_start_matches("sha256:")}}], "predicate": {},
    });
    let statement = statement.to_string();
    let kind = "application/vnd.in-toto+json";
    let message = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
    let bundle = json!({
        "mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": "x"}},
        "dsseEnvelope": {
            "payload": STANDARD.encode(&statement), "payloadType": kind,
            "signatures": [{"sig": sign(pair, message.as_bytes())}],
        },
    });
    let bundle = bundle.to_string().into_bytes();
    let name = format!("team/base:{}", digest.replace(':', "-"));
    let blob = registry.push_blob(&name, bundle.clone()).await.unwrap();
    let config = registry.push_blob(&name, b"{}".to_vec()).await.unwrap();
    let of_manifest = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": of_manifest, "artifactType": BUNDLE,
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}", &config),
        "layers": [descriptor(BUNDLE, &bundle, &blob)],
    });
    let manifest = manifest.to_string().into_bytes();
    let own = registry
        .push_manifest("team/base:bundle", manifest.clone(), of_manifest)
        .await
        .unwrap();
    let mut entry = descriptor(of_manifest, &manifest, &own);
    entry["artifactType"] = json!(BUNDLE);
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [entry]});
    let index = index.to_string().into_bytes();
    registry.push_manifest(&name, index, kind).await.unwrap();
}

#[tokio::test]
async fn signatures_are_verified_as_configured() {
    let registry = Registry::start(Setup::default()).await.unwrap();
    let (pair, pem) = key_pair();
    let (stranger, _) = key_pair();
    let keys = mounted("cosign.pub", &pem);
    let keys = format!("--signature-keys={}", path(&keys));
    let mut digests = Vec::new();
    for tag in ["unsigned", "signed", "strange", "moved", "bundled", "bundle-moved"] {
        let image = Image::new().label("tag", tag);
        digests.push(registry.push(&format!("team/base:{tag}"), &image).await.unwrap());
    }
    put_signature(&registry, &digests[1], &digests[1], &pair).await;
    put_signature(&registry, &digests[2], &digests[2], &stranger).await;
    // A signature of another image, attached to this one.
    put_signature(&registry, &digests[3], &digests[1], &pair).await;
    put_bundle(&registry, &digests[4], &digests[4], &pair).await;
    put_bundle(&registry, &digests[5], &digests[4], &pair).await;

    let mut settings = plain(registry.address());
    for (policy, refusals) in [
        (SignaturePolicy::Off, vec![]),
        (SignaturePolicy::IfPresent, vec!["strange", "moved", "bundle-moved"]),
        (
            SignaturePolicy::Required,
            vec!["unsigned", "strange", "moved", "bundle-moved"],
        ),
    ] {
        settings.signature_policy = policy;
        for tag in ["unsigned", "signed", "strange", "moved", "bundled", "bundle-moved"] {
            let image = format!("{}/team/base:{tag}", registry.address());
            let told = inspect(&image, &settings, &[&keys, "--architecture=amd64"]).await;
            if refusals.contains(&tag) {
                refused(
                    &told,
                    "SignatureInvalid",
                    if tag == "unsigned" {
                        "is not signed"
                    } else {
                        "No signature of the image is valid"
                    },
                );
            } else {
                assert_eq!(told.code, Some(0), "{policy:?} {tag}: {told:?}");
            }
        }
    }
    let image = format!("{}/team/base:signed", registry.address());
    let told = inspect(&image, &settings, &["--architecture=amd64"]).await;
    refused(&told, "SignatureInvalid", "no public keys");
}

#[tokio::test]
async fn an_image_is_copied_between_registries() {
    let source = Registry::start(Setup::default()).await.unwrap();
    let target = Registry::start(Setup {
        has_password: true,
        has_tls: true,
    });
    let mut target = target.await.unwrap();
    let digest = source
        .push(
            "team/base:v1",
            &Image::new().command(&["/bin/serve"]).layer(vec![7; 3 << 20]),
        )
        .await
        .unwrap();
    let work = tempfile::tempdir().unwrap();
    let folder = format!("--work={}", path(&work));
    let mut settings = plain(source.address());
    let asked = json!({ "builderImage": format!("{}/team/base:v1", source.address()) });
    // Runs twice: a retry is harmless.
    for _ in 0..2 {
        let told = step(
            &["fetch", "image", &folder, "--architecture=amd64"],
            &settings,
            Some(&asked),
        )
        .await;
        assert_eq!(told.code, Some(0), "{told:?}");
    }
    let none = step(&["fetch", "image", &folder], &settings, Some(&json!({}))).await;
    assert_eq!(none.code, Some(0), "{none:?}");
    assert!(none.log.contains("no base image needed"), "{none:?}");
    let missing = json!({ "builderImage": format!("{}/team/none:v1", source.address()) });
    let told = step(&["fetch", "image", &folder], &settings, Some(&missing)).await;
    refused(&told, "ImageNotFound", "team/none:v1");

    fs::rename(work.path().join("base"), work.path().join("image")).unwrap();
    settings.registry.prefix = format!("{}/odh", target.address());
    let credentials = mounted(".dockerconfigjson", &target.docker_config().to_string());
    let credentials = format!("--push-credentials={}", path(&credentials));
    let authority = fs::read_to_string(target.authority().unwrap()).unwrap();
    let bundle = mounted("ca.crt", &authority);
    let bundle = format!("--ca-bundle={}", path(&bundle));
    let push = [
        "push",
        "--resource-name=pandas",
        "--target-namespace=notebooks",
        "--tag=v1",
        &folder,
        &bundle,
    ];
    let with = [&push[..], &[credentials.as_str()]].concat();
    let refusal = step(&push, &settings, None).await;
    refused(&refusal, "PushFailed", "status 401");
    for _ in 0..2 {
        let told = step(&with, &settings, None).await;
        assert_eq!(
            (told.code, told.digest.as_str()),
            (Some(0), digest.as_str()),
            "{told:?}"
        );
        assert_eq!(
            told.reference,
            format!("{}/odh/notebooks/pandas@{digest}", target.address())
        );
        assert_eq!(told.start, STANDARD.encode(r#"["/bin/serve"]"#));
    }
    assert_eq!(target.digest("odh/notebooks/pandas:v1").await.unwrap(), digest);

    // Changes the output of the build.
    let blobs = work.path().join("image/blobs/sha256");
    let largest = fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    fs::write(&largest, vec![8; 3 << 20]).unwrap();
    settings.registry.prefix = format!("{}/other", target.address());
    let told = step(&with, &settings, None).await;
    refused(&told, "BuildFailed", "does not match its digest");

    target.process().send(cnbi_tests::process::Fault::Kill).unwrap();
    let told = step(&with, &settings, None).await;
    refused(&told, "PushFailed", "cannot connect");
}

#[tokio::test]
async fn the_default_image_is_fetched_only_for_repositories_that_need_it() {
    let registry = Registry::start(Setup::default()).await.unwrap();
    registry
        .push("admins/base:v1", &Image::new().layer(vec![7; 100]))
        .await
        .unwrap();
    let mut settings = plain(registry.address());
    settings.repository_builder = Some(format!("{}/admins/base:v1", registry.address()));
    let asked = json!({ "repositoryUrl": "https://git.example/a" });
    for (name, is_fetched) in [
        ("requirements.txt", true),
        ("environment.yml", true),
        ("Containerfile", false),
        ("README", false),
    ] {
        let work = tempfile::tempdir().unwrap();
        fs::create_dir(work.path().join("source")).unwrap();
        fs::write(work.path().join("source").join(name), "").unwrap();
        let folder = format!("--work={}", path(&work));
        let told = step(
            &["fetch", "image", &folder, "--architecture=amd64"],
            &settings,
            Some(&asked),
        )
        .await;
        assert_eq!(told.code, Some(0), "{name}: {told:?}");
        assert_eq!(
            work.path().join("base/index.json").is_file(),
            is_fetched,
            "{name}: {told:?}"
        );
    }
}

/// A layer with the folders of those packages.
fn installed(packages: &[&str]) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for package in packages {
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        let path = format!("usr/lib/python3.11/site-packages/{package}.dist-info/METADATA");
        layer.append_data(&mut header, path, std::io::empty()).unwrap();
    }
    layer.into_inner().unwrap()
}

#[tokio::test]
async fn the_sbom_is_attached_as_configured() {
    let registry = Registry::start(Setup::default()).await.unwrap();
    let image = Image::new().layer(installed(&["numpy-2.1.0", "Torch-2.1.0+cpu"]));
    registry.push("team/base:v1", &image).await.unwrap();
    let mut settings = plain(registry.address());
    let work = tempfile::tempdir().unwrap();
    let folder = format!("--work={}", path(&work));
    let asked = json!({ "builderImage": format!("{}/team/base:v1", registry.address()) });
    let fetch = ["fetch", "image", &folder, "--architecture=amd64"];
    let fetched = step(&fetch, &settings, Some(&asked)).await;
    assert_eq!(fetched.code, Some(0), "{fetched:?}");
    fs::rename(work.path().join("base"), work.path().join("image")).unwrap();
    settings.registry.prefix = format!("{}/odh", registry.address());
    let push = [
        "push",
        "--resource-name=a",
        "--target-namespace=notebooks",
        "--tag=v1",
        &folder,
    ];
    let client = registry.client().await.unwrap();
    let image = registry.reference("odh/notebooks/a:v1").unwrap();
    let mut documents = Vec::new();
    // Runs twice each: a retry attaches nothing new. Both formats can coexist.
    for (format, kind, listed) in [
        (SbomFormat::Off, "", 0),
        (SbomFormat::CycloneDx, "application/vnd.cyclonedx+json", 1),
        (SbomFormat::Spdx, "application/spdx+json", 2),
    ] {
        settings.sbom = format;
        for _ in 0..2 {
            let told = step(&push, &settings, None).await;
            assert_eq!(told.code, Some(0), "{told:?}");
            let subject = image.clone_with_digest(told.digest.clone());
            let found = client.pull_referrers(&subject, None).await.unwrap().manifests;
            assert_eq!(found.len(), listed, "{found:?}");
            let Some(entry) = found.last() else { continue };
            assert_eq!(entry.artifact_type.as_deref(), Some(kind));
            let artifact = image.clone_with_digest(entry.digest.clone());
            let (manifest, digest) = client
                .pull_manifest_raw(
                    &artifact,
                    &registry.auth(),
                    &["application/vnd.oci.image.manifest.v1+json"],
                )
                .await
                .unwrap();
            assert_eq!(digest, entry.digest);
            let manifest: Value = serde_json::from_slice(&manifest).unwrap();
            assert_eq!(manifest["subject"]["digest"], told.digest);
            assert_eq!(manifest["artifactType"], kind);
            let mut document = Vec::new();
            let blob = manifest["layers"][0]["digest"].as_str().unwrap();
            client.pull_blob(&artifact, blob, &mut document).await.unwrap();
            documents.push(serde_json::from_slice::<Value>(&document).unwrap());
        }
    }
    let [cyclone, again, spdx, _] = documents.as_slice() else {
        panic!("{documents:?}")
    };
    assert_eq!(cyclone, again);
    assert_eq!(cyclone["components"][0]["purl"], "pkg:pypi/numpy@2.1.0");
    assert_eq!(cyclone["components"][1]["purl"], "pkg:pypi/torch@2.1.0%2Bcpu");
    assert_eq!(
        cyclone["metadata"]["component"]["name"],
        format!("{}/odh/notebooks/a", registry.address())
    );
    assert_eq!(spdx["packages"][2]["name"], "torch");

    // Unreadable layers are an error, not an empty list.
    registry
        .push("team/torn:v1", &Image::new().layer(b"\x1f\x8bnonsense".to_vec()))
        .await
        .unwrap();
    let torn = json!({ "builderImage": format!("{}/team/torn:v1", registry.address()) });
    fs::remove_dir_all(work.path().join("image")).unwrap();
    assert_eq!(step(&fetch, &settings, Some(&torn)).await.code, Some(0));
    fs::rename(work.path().join("base"), work.path().join("image")).unwrap();
    refused(
        &step(&push, &settings, None).await,
        "BuildFailed",
        "its layers cannot be read to create the SBOM",
    );
}

/// Responds to every request on a separate port until the test process ends.
fn fake_registry(answer: impl Fn(&mut TcpStream, &str) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut request = [0; 8192];
                let count = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..count]).into_owned();
                answer(&mut stream, &request);
            });
        }
    });
    address
}

#[tokio::test]
async fn hostile_registries_cannot_exhaust_memory_or_time() {
    let end = "Connection: close\r\n\r\n";
    // Sends an endless manifest.
    let endless = fake_registry(move |stream, request| {
        if request.starts_with("GET /v2/ ") {
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{end}").as_bytes());
            return;
        }
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"a\":\"");
        let piece = vec![b'a'; 1 << 20];
        while stream.write_all(&piece).is_ok() {}
    });
    let begin = Instant::now();
    let told = inspect(&format!("{endless}/team/base:v1"), &plain(&endless), &[]).await;
    assert_ne!(told.code, Some(0), "{told:?}");
    assert!(told.message.contains("was killed or crashed"), "{told:?}");
    assert!(begin.elapsed() < Duration::from_secs(60));

    // Sends a redirect loop.
    let circles = fake_registry(move |stream, _| {
        let _ = stream
            .write_all(format!("HTTP/1.1 302 Found\r\nLocation: /v2/again\r\nContent-Length: 0\r\n{end}").as_bytes());
    });
    let told = inspect(&format!("{circles}/team/base:v1"), &plain(&circles), &[]).await;
    refused(&told, "RegistryUnavailable", "redirect");

    // Sends an invalid response with line breaks and terminal escapes.
    let nonsense = fake_registry(move |stream, request| {
        let body = if request.starts_with("GET /v2/ ") {
            ""
        } else {
            "\u{1b}[2J\nreason=Ready"
        };
        let length = body.len();
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{end}{body}").as_bytes());
    });
    let told = inspect(&format!("{nonsense}/team/base:v1"), &plain(&nonsense), &[]).await;
    refused(&told, "ImageInvalid", "invalid response of the registry");
    assert!(!told.log.contains('\u{1b}'), "{told:?}");

    // Is overloaded.
    let busy = fake_registry(move |stream, _| {
        let _ = stream.write_all(format!("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n{end}").as_bytes());
    });
    let told = inspect(&format!("{busy}/team/base:v1"), &plain(&busy), &[]).await;
    refused(&told, "RegistryUnavailable", "status 503");
}

/// Signatures from cosign itself, recorded by `tests/cosign/run`.
mod cosign {
    use super::*;

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Recorded {
        cosign: String,
        public_key: String,
        image: Signed,
        signed: BTreeMap<String, Written>,
    }

    /// The signed image: its only layer is the empty archive, as in CNBi's images.
    #[derive(serde::Deserialize)]
    struct Signed {
        manifest: String,
        config: String,
    }

    /// The objects that cosign attached, in order.
    #[derive(serde::Deserialize)]
    struct Written {
        blobs: Vec<String>,
        manifests: Vec<Manifest>,
    }

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Manifest {
        tag: Option<String>,
        media_type: String,
        content: String,
    }

    const KEYS: [&str; 5] = ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048", "rsa-4096"];

    fn recorded(key: &str) -> Recorded {
        let given = std::env::var_os("CNBI_COSIGN_VECTORS").filter(|given| !given.is_empty());
        let folder = given.map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("cosign/vectors"),
            Into::into,
        );
        let text = fs::read_to_string(folder.join(format!("{key}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    impl Written {
        async fn push(&self, registry: &Registry, image: &Signed, name: &str) {
            let kind = "application/vnd.oci.image.manifest.v1+json";
            for blob in [vec![0; 1024], image.config.clone().into_bytes()] {
                registry.push_blob(name, blob).await.unwrap();
            }
            let v1 = format!("{name}:v1");
            registry
                .push_manifest(&v1, image.manifest.clone().into_bytes(), kind)
                .await
                .unwrap();
            for blob in &self.blobs {
                registry.push_blob(name, blob.clone().into_bytes()).await.unwrap();
            }
            for manifest in &self.manifests {
                let content = manifest.content.clone().into_bytes();
                // A manifest of an index has no tag.
                let tag = manifest.tag.as_deref().unwrap_or("named-by-an-index");
                let at = format!("{name}:{tag}");
                registry
                    .push_manifest(&at, content, &manifest.media_type)
                    .await
                    .unwrap();
            }
        }
    }

    #[tokio::test]
    async fn cosign_signatures_verify_with_their_key_only() {
        let registry = Registry::start(Setup::default()).await.unwrap();
        let mut settings = plain(registry.address());
        settings.signature_policy = SignaturePolicy::Required;
        for (at, name) in KEYS.into_iter().enumerate() {
            let record = recorded(name);
            let own = mounted("cosign.pub", &record.public_key);
            let other = mounted("cosign.pub", &recorded(KEYS[(at + 1) % KEYS.len()]).public_key);
            let (own, other) = (
                format!("--signature-keys={}", path(&own)),
                format!("--signature-keys={}", path(&other)),
            );
            for way in ["simple", "bundle"] {
                let repository = format!("{name}/{way}");
                record.signed[way].push(&registry, &record.image, &repository).await;
                let image = format!("{}/{repository}:v1", registry.address());
                let told = inspect(&image, &settings, &[&own, "--architecture=amd64"]).await;
                if name == "ed25519" {
                    // For such a key cosign signs the hash, which is not supported.
                    refused(
                        &told,
                        "SignatureInvalid",
                        "Ed25519 signatures (Ed25519ph) are not supported",
                    );
                } else {
                    assert_eq!(told.code, Some(0), "cosign {}, {repository}: {told:?}", record.cosign);
                }
                let told = inspect(&image, &settings, &[&other, "--architecture=amd64"]).await;
                refused(&told, "SignatureInvalid", "No signature of the image is valid");
            }
        }
    }

    #[tokio::test]
    async fn a_cosign_attestation_is_not_a_signature() {
        let registry = Registry::start(Setup::default()).await.unwrap();
        let record = recorded("ecdsa-p256");
        record.signed["attestation"]
            .push(&registry, &record.image, "attested")
            .await;
        let image = format!("{}/attested:v1", registry.address());
        let own = mounted("cosign.pub", &record.public_key);
        let stranger = mounted("cosign.pub", &recorded("ed25519").public_key);
        let mut settings = plain(registry.address());
        for key in [own, stranger] {
            let key = format!("--signature-keys={}", path(&key));
            settings.signature_policy = SignaturePolicy::Required;
            let told = inspect(&image, &settings, &[&key, "--architecture=amd64"]).await;
            refused(&told, "SignatureInvalid", "is not signed");
            // An attestation, for example from a scanner, is no signature and does not invalidate one.
            settings.signature_policy = SignaturePolicy::IfPresent;
            let told = inspect(&image, &settings, &[&key, "--architecture=amd64"]).await;
            assert_eq!(told.code, Some(0), "{told:?}");
        }
    }
}
