//! Generates an SBOM of a built image: CycloneDX 1.6 or SPDX 2.3 as JSON.
//!
//! Only the few required fields; a library would add the rest of both standards. The output is deterministic, so that pushing an image again
//! attaches nothing new.

pub mod python_packages;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cnbi_shared::config::SbomFormat;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::python_packages::Package;

/// The described image.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    /// Registry and repository.
    pub repository: &'a str,
    /// Digest of the manifest.
    pub digest: &'a str,
    /// Time of creation.
    pub created: Option<Timestamp>,
}

/// The media type of an SBOM and artifact type. `None` if the format is `Off`.
pub const fn media_type(format: SbomFormat) -> Option<&'static str> {
    match format {
        SbomFormat::Off => None,
        SbomFormat::CycloneDx => Some("application/vnd.cyclonedx+json"),
        SbomFormat::Spdx => Some("application/spdx+json"),
    }
}

/// The SBOM. `None` if the format is `Off`.
pub fn document(format: SbomFormat, image: &Image<'_>, packages: &BTreeSet<Package>) -> Option<Vec<u8>> {
    let document = match format {
        SbomFormat::Off => return None,
        SbomFormat::CycloneDx => cyclonedx(image, packages),
        SbomFormat::Spdx => spdx(image, packages),
    };
    Some(document.to_string().into_bytes())
}

/// CycloneDX 1.6 (ECMA-424), `bom-1.6.schema.json`.
fn cyclonedx(image: &Image<'_>, packages: &BTreeSet<Package>) -> Value {
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
            "timestamp": time(image),
            "tools": {"components": [
                {"type": "application", "name": "cnbi-step", "version": env!("CARGO_PKG_VERSION")},
            ]},
            "component": {
                "type": "container",
                "bom-ref": image.digest,
                "name": image.repository,
                "version": image.digest,
                "hashes": [{"alg": "SHA-256", "content": hex(image)}],
            },
        },
        "components": components,
    })
}

/// SPDX 2.3, `spdx-schema.json`.
fn spdx(image: &Image<'_>, packages: &BTreeSet<Package>) -> Value {
    const IMAGE: &str = "SPDXRef-Image";
    let mut all = vec![json!({
        "SPDXID": IMAGE,
        "name": image.repository,
        "versionInfo": image.digest,
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "checksums": [{"algorithm": "SHA256", "checksumValue": hex(image)}],
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
        "name": image.repository,
        "documentNamespace": format!("https://meteor.zone/cnbi/sbom/{}", image.digest),
        "creationInfo": {
            "created": time(image),
            "creators": [concat!("Tool: cnbi-step-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": all,
        "relationships": relationships,
    })
}

fn hex<'a>(image: &Image<'a>) -> &'a str {
    image.digest.split_once(':').map_or(image.digest, |(_, hex)| hex)
}

/// In whole seconds, as both standards require. The epoch if the image has no time of creation.
fn time(image: &Image<'_>) -> String {
    let created = image.created.unwrap_or(Timestamp::UNIX_EPOCH);
    created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The package URL with type `pypi`.
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
        let image = Image {
            repository: "quay.io/odh/notebooks/pandas",
            digest: "sha256:0123",
            created: Some("2026-03-01T12:00:00.5Z".parse().unwrap()),
        };
        let document = document(format, &image, &packages.into()).unwrap();
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
    fn no_sbom_if_the_format_is_off() {
        let image = Image {
            repository: "a",
            digest: "sha256:0",
            created: None,
        };
        assert_eq!(document(SbomFormat::Off, &image, &BTreeSet::new()), None);
        assert_eq!(media_type(SbomFormat::Off), None);
        assert_eq!(time(&image), "1970-01-01T00:00:00Z");
    }
}
