//! Links to the documentation, for everything that leaves this repository: alerts, annotations in manifests, SARIF reports.

/// Base URL of the published documentation (the folder `docs/`), without a trailing slash.
///
/// To publish it elsewhere, change this line or set `CNBI_DOCS_URL` for the build, then run
/// `UPDATE=1 cargo test -p cnbi-shared --test generated`, which rewrites the links in `deploy/`.
pub const DOCS: &str = match option_env!("CNBI_DOCS_URL") {
    Some(url) => url,
    None => "https://meteor.zone/cnbi/docs",
};

/// URL of a page, given its path below `docs/`.
pub fn page(path: &str) -> String {
    format!("{DOCS}/{path}")
}

/// URL of a rule's page.
pub fn rule(id: &str) -> String {
    page(&format!("reference/rules/{id}.md"))
}
