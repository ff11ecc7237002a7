//! A package index (PEP 503) with metadata only, for tests of resolving.

use crate::https::{Response, Server};
use crate::step_runner::digest;

/// Name, version and dependencies of packages.
type Package = (&'static str, &'static str, &'static [&'static str]);

const PACKAGES: &[Package] = &[
    ("alpha", "1.0", &["Requires-Dist: beta>=2"]),
    ("alpha", "0.9", &["Requires-Dist: beta>=1"]),
    ("beta", "1.0", &[]),
    ("beta", "2.0", &[]),
    ("gamma", "1.0", &["Requires-Dist: nosuch"]),
    ("modern", "1.0", &["Requires-Python: >=3.12"]),
    ("modern", "0.9", &["Requires-Python: >=3.8"]),
];

fn file(name: &str, version: &str) -> String {
    format!("{name}-{version}-py3-none-any.whl")
}

fn metadata((name, version, lines): &Package) -> String {
    format!(
        "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{}\n",
        lines.join("\n")
    )
}

/// Serves the index at `/simple`. `/refusing` requires a password, `/broken` returns errors.
pub fn start() -> Server {
    Server::start(|request| {
        let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["refusing", ..] => Response::of(401),
            ["broken", ..] => Response::of(503),
            ["simple", name] => project(name),
            ["files", file_name] => PACKAGES
                .iter()
                .find(|package| format!("{}.metadata", file(package.0, package.1)) == *file_name)
                .map_or(Response::of(404), |package| {
                    Response::text("text/plain", metadata(package))
                }),
            _ => Response::of(404),
        }
    })
}

fn project(name: &str) -> Response {
    let mut page = "<!DOCTYPE html><html><body>\n".to_owned();
    let before = page.len();
    for package in PACKAGES.iter().filter(|package| package.0 == name) {
        let file = file(package.0, package.1);
        let hash = digest(file.as_bytes()).replace(':', "=");
        let metadata_hash = digest(metadata(package).as_bytes()).replace(':', "=");
        let python = package
            .2
            .iter()
            .find_map(|line| line.strip_prefix("Requires-Python: "))
            .unwrap_or(">=3");
        let python = python.replace('>', "&gt;");
        page = format!(
            "{page}<a href=\"/files/{file}#{hash}\" data-core-metadata=\"{metadata_hash}\" data-requires-python=\"{python}\">{file}</a>\n"
        );
    }
    if page.len() == before {
        return Response::of(404);
    }
    Response::text("text/html", page + "</body></html>\n")
}
