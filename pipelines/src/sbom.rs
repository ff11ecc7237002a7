//! The list of what is in an image that was built, for whoever asks later: CycloneDX 1.6 or SPDX 2.3, as JSON.
//!
//! Both standards are large, and of each this is the handful of fields that a list of packages takes; a library would bring
//! the rest. The same image gives the same bytes, so that pushing it again attaches nothing new.

pub mod installed;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cnbi_shared::config::SbomFormat;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::installed::Package;

/// What the list is about.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Where the image is: registry and repository.
    pub repository: &'a str,
    /// Digest of its manifest.
    pub digest: &'a str,
    /// When it says that it was made.
    pub created: Option<Timestamp>,
}

/// The media type of a document, which is also the type of the artifact that holds it. `None`: none is wanted.
pub const fn media_type(format: SbomFormat) -> Option<&'static str> {
    match format {
        SbomFormat::Off => None,
        SbomFormat::CycloneDx => Some("application/vnd.cyclonedx+json"),
        SbomFormat::Spdx => Some("application/spdx+json"),
    }
}

/// The document. `None`: none is wanted.
pub fn document(format: SbomFormat, subject: &Subject<'_>, packages: &BTreeSet<Package>) -> Option<Vec<u8>> {
    let document = match format {
        SbomFormat::Off => return None,
        SbomFormat::CycloneDx => cyclonedx(subject, packages),
        SbomFormat::Spdx => spdx(subject, packages),
    };
    Some(document.to_string().into_bytes())
}

/// CycloneDX 1.6 (ECMA-424), `bom-1.6.schema.json`.
fn cyclonedx(subject: &Subject<'_>, packages: &BTreeSet<Package>) -> Value {
    let components: Vec<Value> = packages
        .iter()
        .map(|package| {
            let url = package_url(package);
            json!({
                "type": "library", "bom-ref": url, "name": package.name, "version": package.version, "purl": url,
            })
        })
        .collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time(subject),
            "tools": {"components": [
                {"type": "application", "name": "cnbi-step", "version": env!("CARGO_PKG_VERSION")},
            ]},
            "component": {
                "type": "container",
                "bom-ref": subject.digest,
                "name": subject.repository,
                "version": subject.digest,
                "hashes": [{"alg": "SHA-256", "content": hex(subject)}],
            },
        },
        "components": components,
    })
}

/// SPDX 2.3, `spdx-schema.json`.
fn spdx(subject: &Subject<'_>, packages: &BTreeSet<Package>) -> Value {
    const IMAGE: &str = "SPDXRef-Image";
    let mut all = vec![json!({
        "SPDXID": IMAGE,
        "name": subject.repository,
        "versionInfo": subject.digest,
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "checksums": [{"algorithm": "SHA256", "checksumValue": hex(subject)}],
    })];
    let mut relationships = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": IMAGE,
    })];
    for (index, package) in packages.iter().enumerate() {
        let id = format!("SPDXRef-Package-{}", index + 1);
        all.push(json!({
            "SPDXID": id,
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package_url(package),
            }],
        }));
        relationships.push(json!({
            "spdxElementId": IMAGE, "relationshipType": "CONTAINS", "relatedSpdxElement": id,
        }));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.repository,
        "documentNamespace": format!("https://meteor.zone/cnbi/sbom/{}", subject.digest),
        "creationInfo": {
            "created": time(subject),
            "creators": [concat!("Tool: cnbi-step-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": all,
        "relationships": relationships,
    })
}

fn hex<'a>(subject: &Subject<'a>) -> &'a str {
    subject.digest.split_once(':').map_or(subject.digest, |(_, hex)| hex)
}

/// In whole seconds, as both standards want it. An image that does not say when it was made was made at the beginning of time.
fn time(subject: &Subject<'_>) -> String {
    let created = subject.created.unwrap_or(Timestamp::UNIX_EPOCH);
    created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The package's URL by package-url's type `pypi`.
fn package_url(package: &Package) -> String {
    let mut version = String::new();
    for byte in package.version.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            version.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(version, "%{byte:02X}");
        }
    }
    format!("pkg:pypi/{}@{version}", package.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(format: SbomFormat) -> Value {
        let packages = [("numpy", "2.1.0"), ("torch", "2.1.0+cpu")].map(|(name, version)| Package {
            name: name.to_owned(),
            version: version.to_owned(),
        });
        let subject = Subject {
            repository: "quay.io/odh/notebooks/pandas",
            digest: "sha256:0123",
            created: Some("2026-03-01T12:00:00.5Z".parse().unwrap()),
        };
        let document = document(format, &subject, &packages.into()).unwrap();
        serde_json::from_slice(&document).unwrap()
    }

    #[test]
    fn cyclonedx_lists_the_packages_of_the_image() {
        let document = made(SbomFormat::CycloneDx);
        assert_eq!(
            (&document["bomFormat"], &document["specVersion"]),
            (&json!("CycloneDX"), &json!("1.6"))
        );
        let metadata = &document["metadata"];
        assert_eq!(metadata["timestamp"], "2026-03-01T12:00:00Z");
        assert_eq!(metadata["component"]["version"], "sha256:0123");
        assert_eq!(metadata["component"]["hashes"][0]["content"], "0123");
        assert_eq!(
            document["components"][1],
            json!({
                "type": "library", "bom-ref": "pkg:pypi/torch@2.1.0%2Bcpu", "name": "torch", "version": "2.1.0+cpu",
                "purl": "pkg:pypi/torch@2.1.0%2Bcpu",
            })
        );
    }

    #[test]
    fn spdx_relates_the_packages_to_the_image() {
        let document = made(SbomFormat::Spdx);
        assert_eq!(document["spdxVersion"], "SPDX-2.3");
        assert_eq!(document["creationInfo"]["created"], "2026-03-01T12:00:00Z");
        let packages = document["packages"].as_array().unwrap();
        let ids: Vec<_> = packages
            .iter()
            .map(|package| package["SPDXID"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["SPDXRef-Image", "SPDXRef-Package-1", "SPDXRef-Package-2"]);
        assert_eq!(
            packages[1]["externalRefs"][0]["referenceLocator"],
            "pkg:pypi/numpy@2.1.0"
        );
        let related: Vec<_> = document["relationships"]
            .as_array()
            .unwrap()
            .iter()
            .map(|relationship| {
                ["spdxElementId", "relationshipType", "relatedSpdxElement"]
                    .map(|key| relationship[key].as_str().unwrap())
                    .join(" ")
            })
            .collect();
        assert_eq!(
            related,
            [
                "SPDXRef-DOCUMENT DESCRIBES SPDXRef-Image",
                "SPDXRef-Image CONTAINS SPDXRef-Package-1",
                "SPDXRef-Image CONTAINS SPDXRef-Package-2",
            ]
        );
    }

    #[test]
    fn none_is_made_where_none_is_wanted() {
        let subject = Subject {
            repository: "a",
            digest: "sha256:0",
            created: None,
        };
        assert_eq!(document(SbomFormat::Off, &subject, &BTreeSet::new()), None);
        assert_eq!(media_type(SbomFormat::Off), None);
        assert_eq!(time(&subject), "1970-01-01T00:00:00Z");
    }
}
